//! RotateKeyOnDemand, ListKeyRotations.

use serde::{Deserialize, Serialize};

use super::paging::{Page, PageSize, invalid_marker};
use super::{Call, required_key};
use crate::constraints::Constraints;
use crate::error::KmsError;
use crate::identifier::id_text;
use crate::wire::Timestamp;

const ROTATION_PAGE: PageSize = PageSize {
    max: 1000,
    default: 100,
};
const ALL_KEY_MATERIAL: &str = "ALL_KEY_MATERIAL";
const INCLUDED_MATERIAL: [&str; 2] = [ALL_KEY_MATERIAL, "ROTATIONS_ONLY"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RotateKeyOnDemandRequest {
    key_id: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RotateKeyOnDemandResponse {
    key_id: String,
}

/// RotateKeyOnDemand: new material at once; what the earlier one made still opens.
pub(super) fn rotate_key_on_demand(
    call: &mut Call<'_>,
    request: &RotateKeyOnDemandRequest,
) -> Result<RotateKeyOnDemandResponse, KmsError> {
    let mut constraints = Constraints::default();
    let name = required_key(&mut constraints, "keyId", request.key_id.as_ref());
    constraints.check()?;
    let id = call.resolve_id(name)?;
    call.require_home("rotation, which replicas follow")?;
    call.store
        .change(|catalogue| catalogue.rotate(id, call.realm, call.now))?;
    Ok(RotateKeyOnDemandResponse {
        key_id: id_text(id),
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListKeyRotationsRequest {
    key_id: Option<String>,
    include_key_material: Option<String>,
    limit: Option<i64>,
    marker: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct RotationEntry {
    key_id: String,
    key_material_id: String,
    key_material_state: &'static str,
    /// Neither this nor the type is there for the material that came with the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation_date: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation_type: Option<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListKeyRotationsResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    rotations: Vec<RotationEntry>,
    truncated: bool,
}

/// ListKeyRotations, oldest first; with `ALL_KEY_MATERIAL` also the material that came with the key.
pub(super) fn list_key_rotations(
    call: &mut Call<'_>,
    request: &ListKeyRotationsRequest,
) -> Result<ListKeyRotationsResponse, KmsError> {
    let mut constraints = Constraints::default();
    let name = required_key(&mut constraints, "keyId", request.key_id.as_ref());
    let included = request.include_key_material.as_deref();
    constraints.one_of("includeKeyMaterial", included, &INCLUDED_MATERIAL);
    constraints.check()?;
    let page = Page::read(request.limit, request.marker.as_deref(), &ROTATION_PAGE)?;
    let after: Option<usize> = page
        .after()
        .map(|place| place.parse().map_err(|_| invalid_marker()))
        .transpose()?;
    let id = call.resolve_id(name)?;
    let catalogue = call.store.catalogue();
    let key = catalogue.key(id, call.realm())?;
    // Materials are only ever added, so a place in their order is a marker that stays right.
    let first = usize::from(included != Some(ALL_KEY_MATERIAL));
    let start = after.map_or(first, |place| place.saturating_add(1).max(first));
    let (entries, next_marker) = page
        .take(key.materials().enumerate().skip(start), |(place, _)| {
            place.to_string()
        });
    let rotations = entries
        .into_iter()
        .map(|(_, (material, date))| RotationEntry {
            key_id: id_text(id),
            key_material_id: material.id().to_string(),
            key_material_state: if material.id() == key.current.id() {
                "CURRENT"
            } else {
                "NON_CURRENT"
            },
            rotation_date: date.map(Timestamp),
            rotation_type: date.map(|_| "ON_DEMAND"),
        });
    Ok(ListKeyRotationsResponse {
        rotations: rotations.collect(),
        truncated: next_marker.is_some(),
        next_marker,
    })
}
