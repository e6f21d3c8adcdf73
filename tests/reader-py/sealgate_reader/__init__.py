"""The second reader: an independent implementation of FORMAT.md, version 1.

It shares no code with the Rust crate and was written from FORMAT.md alone. Where the two readers
disagree about a byte, either one of them or the text is wrong, and the vectors show it.
"""
