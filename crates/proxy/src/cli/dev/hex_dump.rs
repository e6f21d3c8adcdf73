//! Bytes for people to look at.

use std::fmt::Write as _;

/// Bytes in one line.
const LINE_LENGTH: usize = 16;

/// The first lines of `bytes`: offset, hexadecimal digits, and the characters that can be shown.
pub(super) fn render(bytes: &[u8], lines: usize) -> String {
    let mut text = String::new();
    for (index, line) in bytes.chunks(LINE_LENGTH).take(lines).enumerate() {
        // Writing to a string does not fail.
        let _ = write!(text, "    {:08x} ", index * LINE_LENGTH);
        for position in 0..LINE_LENGTH {
            let _ = match line.get(position) {
                Some(byte) => write!(text, " {byte:02x}"),
                None => write!(text, "   "),
            };
        }
        let shown = line.iter().map(|&byte| {
            if (b' '..=b'~').contains(&byte) {
                char::from(byte)
            } else {
                '.'
            }
        });
        let _ = writeln!(text, "  |{}|", shown.collect::<String>());
    }
    if bytes.len() > lines * LINE_LENGTH {
        let _ = writeln!(
            text,
            "    … and {} bytes more",
            bytes.len() - lines * LINE_LENGTH
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_offset_digits_and_characters() {
        let text = render(b"0123456789abcdef\x00\xff", 4);
        assert_eq!(
            text,
            "    00000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  |0123456789abcdef|\n    \
             00000010  00 ff                                            |..|\n"
        );
    }

    #[test]
    fn what_is_left_out_is_counted() {
        assert!(render(&[0; 40], 2).ends_with("… and 8 bytes more\n"));
        assert!(!render(&[0; 32], 2).contains("more"));
    }
}
