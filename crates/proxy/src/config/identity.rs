//! `[[identity]]`: the clients that may sign requests.

use super::secret::Secret;

/// A client.
#[derive(Clone, Debug)]
pub struct IdentityConfig {
    /// Its name in logs.
    pub name: String,
    /// Its access keys; at least one.
    pub credentials: Vec<ClientCredential>,
}

/// One access key of a client.
#[derive(Clone, Debug)]
pub struct ClientCredential {
    /// The id that requests name; unique among all identities.
    pub access_key_id: String,
    /// The secret that signs requests.
    pub secret_access_key: Secret,
}
