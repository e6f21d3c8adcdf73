//! Names and credentials that nobody can guess.

/// `N` random bytes in lower-case hexadecimal digits.
pub(super) fn random_hex<const N: usize>() -> anyhow::Result<String> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow::anyhow!("the system gives no random bytes: {error}"))?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}
