//! The Merkle tree over a log's lines (RFC 6962 section 2.1, SHA-256): each line, with its line feed, is one leaf.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

/// Bytes of a hash.
pub const HASH_LENGTH: usize = 32;

/// Hashes that a frontier of any size has at most: one a bit.
const MAX_FRONTIER: usize = 64;

/// A node of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; HASH_LENGTH]);

impl Hash {
    /// The root of the tree without leaves.
    pub fn empty() -> Self {
        Self(Sha256::digest([]).into())
    }

    /// The hash of a leaf.
    pub fn leaf(data: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update([0]);
        hasher.update(data);
        Self(hasher.finalize().into())
    }

    /// The hash of a node over two others.
    pub fn node(left: Self, right: Self) -> Self {
        let mut hasher = Sha256::new();
        hasher.update([1]);
        hasher.update(left.0);
        hasher.update(right.0);
        Self(hasher.finalize().into())
    }

    /// As standard base64.
    pub fn to_base64(self) -> String {
        STANDARD.encode(self.0)
    }

    /// Reads [`Self::to_base64`]; `None` for anything else.
    pub fn from_base64(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

/// The roots of the complete subtrees that a tree is made of, the largest first: all that is needed to append leaves and to know the root.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    nodes: Vec<Hash>,
}

impl Frontier {
    /// The frontier of a tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// A frontier that was written down; `None` where the number of nodes is not that of the size.
    pub fn of_nodes(size: u64, nodes: Vec<Hash>) -> Option<Self> {
        (nodes.len() <= MAX_FRONTIER && nodes.len() == size.count_ones() as usize)
            .then_some(Self { size, nodes })
    }

    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, the largest first.
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// Appends a leaf.
    pub fn append(&mut self, leaf: Hash) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.nodes.pop() {
                node = Hash::node(left, node);
            }
        }
        self.nodes.push(node);
        self.size += 1;
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        let mut nodes = self.nodes.iter().rev().copied();
        let Some(last) = nodes.next() else {
            return Hash::empty();
        };
        nodes.fold(last, |right, left| Hash::node(left, right))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The definition of RFC 6962 section 2.1, word for word.
    pub(crate) fn root_by_definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::empty(),
            [leaf] => *leaf,
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                Hash::node(
                    root_by_definition(&leaves[..split]),
                    root_by_definition(&leaves[split..]),
                )
            }
        }
    }

    pub(crate) fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|n| Hash::leaf(&n.to_be_bytes())).collect()
    }

    #[test]
    fn the_root_is_that_of_the_definition() {
        let leaves = leaves(70);
        let mut frontier = Frontier::new();
        assert_eq!(frontier.root(), Hash::empty());
        for (position, leaf) in leaves.iter().enumerate() {
            frontier.append(*leaf);
            assert_eq!(frontier.root(), root_by_definition(&leaves[..=position]));
            let again = Frontier::of_nodes(frontier.size(), frontier.nodes().to_vec());
            assert_eq!(again.as_ref(), Some(&frontier));
        }
    }

    #[test]
    fn the_published_roots_come_out() {
        // The leaves and roots of the tests of certificate-transparency-go (merkletree), the ones that implementations share.
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let mut frontier = Frontier::new();
        let mut roots = Vec::new();
        for leaf in leaves {
            frontier.append(Hash::leaf(leaf));
            roots.push(data_encoding::HEXLOWER.encode(&frontier.root().0));
        }
        assert_eq!(
            roots.first().map(String::as_str),
            Some("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d")
        );
        assert_eq!(
            roots.last().map(String::as_str),
            Some("5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328")
        );
    }

    #[test]
    fn a_frontier_has_as_many_nodes_as_its_size_has_ones() {
        let node = Hash::leaf(b"");
        assert!(Frontier::of_nodes(5, vec![node, node]).is_some());
        assert!(Frontier::of_nodes(5, vec![node]).is_none());
        assert!(Frontier::of_nodes(0, vec![node]).is_none());
    }
}
