//! Proofs of inclusion and of consistency (RFC 6962 sections 2.1.1 and 2.1.2), made in one pass over the leaves, and checked.
//!
//! A proof is a list of roots of ranges of leaves. [`inclusion_ranges`] and [`consistency_ranges`] say which; [`Collector`] computes them while
//! the leaves pass, in memory that does not grow with the log.

use std::ops::Range;

use crate::merkle::{Frontier, Hash};

/// The ranges of leaves whose roots prove that leaf `index` is in the tree of `size` leaves, in the order of the proof.
/// `None` where there is no such leaf.
pub fn inclusion_ranges(index: u64, size: u64) -> Option<Vec<Range<u64>>> {
    if index >= size {
        return None;
    }
    let mut ranges = Vec::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let split = start + largest_power_below(end - start);
        if index < split {
            ranges.push(split..end);
            end = split;
        } else {
            ranges.push(start..split);
            start = split;
        }
    }
    ranges.reverse();
    Some(ranges)
}

/// The ranges of leaves whose roots prove that the tree of `old` leaves is a beginning of the tree of `new` ones. `None` where it can't be,
/// or where there is nothing to prove: the empty tree is a beginning of each.
pub fn consistency_ranges(old: u64, new: u64) -> Option<Vec<Range<u64>>> {
    if old == 0 || old > new {
        return None;
    }
    let mut ranges = Vec::new();
    let (mut start, mut end) = (0, new);
    // Whether what remains of the old tree is a complete subtree that its holder knows.
    let mut is_known = true;
    while old != end {
        let split = start + largest_power_below(end - start);
        if old <= split {
            ranges.push(split..end);
            end = split;
        } else {
            ranges.push(start..split);
            start = split;
            is_known = false;
        }
    }
    if !is_known {
        ranges.push(start..end);
    }
    ranges.reverse();
    Some(ranges)
}

fn largest_power_below(count: u64) -> u64 {
    // `count` is at least 2 here.
    1 << (u64::BITS - 1 - (count - 1).leading_zeros())
}

/// Computes the roots of ranges of leaves while all leaves pass in order.
#[derive(Debug)]
pub struct Collector {
    ranges: Vec<(Range<u64>, Frontier)>,
}

impl Collector {
    /// For these ranges.
    pub fn new(ranges: Vec<Range<u64>>) -> Self {
        let with_frontier = |range| (range, Frontier::new());
        Self {
            ranges: ranges.into_iter().map(with_frontier).collect(),
        }
    }

    /// Takes the next leaf.
    pub fn leaf(&mut self, index: u64, leaf: Hash) {
        for (range, frontier) in &mut self.ranges {
            if range.contains(&index) {
                frontier.append(leaf);
            }
        }
    }

    /// The proof; `None` where leaves of a range were missing.
    pub fn finish(self) -> Option<Vec<Hash>> {
        self.ranges
            .into_iter()
            .map(|(range, frontier)| {
                (frontier.size() == range.end - range.start).then(|| frontier.root())
            })
            .collect()
    }
}

/// Whether `proof` shows that `leaf` is leaf `index` of the tree with this size and root (RFC 9162 section 2.1.3.2).
pub fn is_included(leaf: Hash, index: u64, size: u64, root: Hash, proof: &[Hash]) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = leaf;
    for step in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = Hash::node(*step, hash);
            if node & 1 == 0 {
                let shift = node.trailing_zeros().min(u64::BITS - 1);
                node >>= shift;
                last >>= shift;
            }
        } else {
            hash = Hash::node(hash, *step);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == root
}

/// Whether `proof` shows that the old tree is a beginning of the new one (RFC 9162 section 2.1.4.2).
pub fn is_consistent(old: (u64, Hash), new: (u64, Hash), proof: &[Hash]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size == new_size {
        return proof.is_empty() && old_root == new_root;
    }
    if old_size == 0 {
        return proof.is_empty() && old_root == Hash::empty();
    }
    if old_size > new_size {
        return false;
    }
    let mut steps = proof.iter().copied();
    let first = if old_size.is_power_of_two() {
        Some(old_root)
    } else {
        steps.next()
    };
    let Some(first) = first else { return false };
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    let shift = node.trailing_ones().min(u64::BITS - 1);
    node >>= shift;
    last >>= shift;
    let (mut old_hash, mut new_hash) = (first, first);
    for step in steps {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old_hash = Hash::node(step, old_hash);
            new_hash = Hash::node(step, new_hash);
            if node & 1 == 0 {
                let shift = node.trailing_zeros().min(u64::BITS - 1);
                node >>= shift;
                last >>= shift;
            }
        } else {
            new_hash = Hash::node(new_hash, step);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == old_root && new_hash == new_root
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::tests::{leaves, root_by_definition};

    const MOST: usize = 40;

    fn collect(ranges: Vec<Range<u64>>, leaves: &[Hash]) -> Vec<Hash> {
        let mut collector = Collector::new(ranges);
        for (index, leaf) in leaves.iter().enumerate() {
            collector.leaf(index as u64, *leaf);
        }
        collector.finish().unwrap()
    }

    #[test]
    fn every_leaf_of_every_tree_is_proven_and_no_other_is() {
        let leaves = leaves(MOST as u64);
        for size in 1..=MOST {
            let tree = &leaves[..size];
            let root = root_by_definition(tree);
            let size = size as u64;
            for (index, leaf) in (0..).zip(tree) {
                let proof = collect(inclusion_ranges(index, size).unwrap(), tree);
                assert!(is_included(*leaf, index, size, root, &proof));
                let other = Hash::leaf(b"another");
                assert!(!is_included(other, index, size, root, &proof));
                assert!(!is_included(*leaf, index + 1, size, root, &proof) || size == 1);
                let mut longer = proof.clone();
                longer.push(other);
                assert!(!is_included(*leaf, index, size, root, &longer));
            }
        }
        assert!(inclusion_ranges(3, 3).is_none());
    }

    #[test]
    fn every_beginning_of_every_tree_is_proven_and_no_other_is() {
        let leaves = leaves(MOST as u64);
        let tree = |size: usize| (size as u64, root_by_definition(&leaves[..size]));
        let other = Hash::leaf(b"another");
        for new in 1..=MOST {
            for old in 1..new {
                let ranges = consistency_ranges(old as u64, new as u64).unwrap();
                let proof = collect(ranges, &leaves[..new]);
                assert!(is_consistent(tree(old), tree(new), &proof));
                assert!(!is_consistent((old as u64, other), tree(new), &proof));
                assert!(!is_consistent(tree(old), (new as u64, other), &proof));
                for position in 0..proof.len() {
                    let mut altered = proof.clone();
                    altered[position] = other;
                    assert!(!is_consistent(tree(old), tree(new), &altered));
                }
            }
        }
        assert!(is_consistent(tree(5), tree(5), &[]));
        assert!(is_consistent((0, Hash::empty()), tree(5), &[]));
        assert!(!is_consistent(tree(6), tree(5), &[]));
    }
}
