//! CreateAlias, DeleteAlias, ListAliases.

use serde::{Deserialize, Serialize};

use super::paging::{Page, PageSize};
use super::{Call, optional_key, required_key};
use crate::constraints::Constraints;
use crate::error::KmsError;
use crate::identifier::{KeyIdentifier, check_alias_name, id_text};
use crate::wire::Timestamp;

/// Longest alias name with its prefix, in characters.
const MAX_ALIAS_NAME: usize = 256;
const ALIAS_PATTERN: &str = "^[a-zA-Z0-9:/_-]+$";
const ALIAS_PAGE: PageSize = PageSize {
    max: 100,
    default: 50,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateAliasRequest {
    alias_name: Option<String>,
    target_key_id: Option<String>,
}

/// Refuses alias names by their length and characters.
pub(super) fn check_name(name: &str) -> Result<(), KmsError> {
    constrain_name(&mut Constraints::default(), Some(name)).check()
}

fn constrain_name<'a>(constraints: &'a mut Constraints, name: Option<&str>) -> &'a mut Constraints {
    let accepts = |c: char| c.is_ascii_alphanumeric() || ":/_-".contains(c);
    constraints
        .text("aliasName", name, 1, MAX_ALIAS_NAME)
        .pattern("aliasName", name, ALIAS_PATTERN, accepts)
}

/// CreateAlias.
pub(super) fn create_alias(
    call: &mut Call<'_>,
    request: &CreateAliasRequest,
) -> Result<(), KmsError> {
    let mut constraints = Constraints::default();
    constraints.required("aliasName", request.alias_name.as_ref());
    constrain_name(&mut constraints, request.alias_name.as_deref());
    let target = required_key(
        &mut constraints,
        "targetKeyId",
        request.target_key_id.as_ref(),
    );
    constraints.check()?;
    let name = request.alias_name.as_deref().unwrap_or_default();
    check_alias_name(name)?;
    if let Ok(KeyIdentifier::Alias(_)) = KeyIdentifier::parse(target, call.realm()) {
        return Err(KmsError::validation(
            "Aliases must refer to keys. Not aliases",
        ));
    }
    let id = call.resolve_id(target)?;
    call.require_home("aliases")?;
    call.store
        .change(|catalogue| catalogue.add_alias(name, id, call.realm, call.now))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteAliasRequest {
    alias_name: Option<String>,
}

/// DeleteAlias: the key stays as it is.
pub(super) fn delete_alias(
    call: &mut Call<'_>,
    request: &DeleteAliasRequest,
) -> Result<(), KmsError> {
    let mut constraints = Constraints::default();
    constraints.required("aliasName", request.alias_name.as_ref());
    constrain_name(&mut constraints, request.alias_name.as_deref());
    constraints.check()?;
    let name = request.alias_name.as_deref().unwrap_or_default();
    call.record.key_id = Some(name.to_owned());
    call.require_home("aliases")?;
    call.store
        .change(|catalogue| catalogue.remove_alias(name, call.realm))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListAliasesRequest {
    key_id: Option<String>,
    limit: Option<i64>,
    marker: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AliasListEntry {
    alias_arn: String,
    alias_name: String,
    creation_date: Timestamp,
    last_updated_date: Timestamp,
    target_key_id: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListAliasesResponse {
    aliases: Vec<AliasListEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

/// ListAliases: all of them, or those of one key.
pub(super) fn list_aliases(
    call: &mut Call<'_>,
    request: &ListAliasesRequest,
) -> Result<ListAliasesResponse, KmsError> {
    let mut constraints = Constraints::default();
    optional_key(&mut constraints, "keyId", request.key_id.as_ref());
    constraints.check()?;
    let page = Page::read(request.limit, request.marker.as_deref(), &ALIAS_PAGE)?;
    let catalogue = call.store.catalogue();
    let target = match request.key_id.as_deref() {
        Some(name) => {
            let id = call.resolve_id(name)?;
            catalogue.key(id, call.realm())?;
            Some(id)
        }
        None => None,
    };
    let entries = catalogue
        .aliases_after(page.after(), target)
        .filter(|_| !call.realm().of_replicas);
    let (aliases, next_marker) = page.take(entries, |(name, _)| (*name).to_owned());
    let aliases = aliases.into_iter().map(|(name, alias)| AliasListEntry {
        alias_arn: call.realm().alias_arn(name),
        alias_name: name.to_owned(),
        creation_date: Timestamp(alias.created),
        last_updated_date: Timestamp(alias.updated),
        target_key_id: id_text(alias.target),
    });
    Ok(ListAliasesResponse {
        aliases: aliases.collect(),
        truncated: next_marker.is_some(),
        next_marker,
    })
}
