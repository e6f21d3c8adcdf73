//! Streaming envelope encryption whose master keys live on other machines: authenticated random access, a written format, test vectors
