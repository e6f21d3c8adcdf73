//! EnableKey, DisableKey, ScheduleKeyDeletion, CancelKeyDeletion.

use serde::{Deserialize, Serialize};

use super::key_metadata::state_name;
use super::{Call, required_key};
use crate::catalogue::KeyState;
use crate::constraints::Constraints;
use crate::error::KmsError;
use crate::wire::Timestamp;

/// The waiting period before a deletion, in days.
const MIN_WINDOW_DAYS: u8 = 7;
const MAX_WINDOW_DAYS: u8 = 30;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeyRequest {
    key_id: Option<String>,
}

impl KeyRequest {
    fn resolve(&self, call: &mut Call<'_>) -> Result<uuid::Uuid, KmsError> {
        let mut constraints = Constraints::default();
        let name = required_key(&mut constraints, "keyId", self.key_id.as_ref());
        constraints.check()?;
        let id = call.resolve_id(name)?;
        call.require_home("state of a key, which it shares with its replicas,")?;
        Ok(id)
    }
}

/// EnableKey.
pub(super) fn enable_key(call: &mut Call<'_>, request: &KeyRequest) -> Result<(), KmsError> {
    let id = request.resolve(call)?;
    call.store
        .change(|catalogue| catalogue.set_enabled(id, true, call.realm))
}

/// DisableKey.
pub(super) fn disable_key(call: &mut Call<'_>, request: &KeyRequest) -> Result<(), KmsError> {
    let id = request.resolve(call)?;
    call.store
        .change(|catalogue| catalogue.set_enabled(id, false, call.realm))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ScheduleKeyDeletionRequest {
    key_id: Option<String>,
    pending_window_in_days: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ScheduleKeyDeletionResponse {
    deletion_date: Timestamp,
    key_id: String,
    key_state: &'static str,
    pending_window_in_days: u8,
}

/// ScheduleKeyDeletion: in 7 to 30 days, 30 unless told.
pub(super) fn schedule_key_deletion(
    call: &mut Call<'_>,
    request: &ScheduleKeyDeletionRequest,
) -> Result<ScheduleKeyDeletionResponse, KmsError> {
    let mut constraints = Constraints::default();
    let name = required_key(&mut constraints, "keyId", request.key_id.as_ref());
    let window = request
        .pending_window_in_days
        .unwrap_or(i64::from(MAX_WINDOW_DAYS));
    let (min, max) = (i64::from(MIN_WINDOW_DAYS), i64::from(MAX_WINDOW_DAYS));
    constraints
        .range("pendingWindowInDays", Some(window), min, max)
        .check()?;
    let window_days = u8::try_from(window).unwrap_or(MAX_WINDOW_DAYS);
    let id = call.resolve_id(name)?;
    call.require_home("state of a key, which it shares with its replicas,")?;
    let deletion = call
        .store
        .change(|catalogue| catalogue.schedule_deletion(id, window_days, call.realm, call.now))?;
    Ok(ScheduleKeyDeletionResponse {
        deletion_date: Timestamp(deletion),
        key_id: call.realm().key_arn(id),
        key_state: state_name(KeyState::PendingDeletion {
            deletion,
            window_days,
        }),
        pending_window_in_days: window_days,
    })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CancelKeyDeletionResponse {
    key_id: String,
}

/// CancelKeyDeletion: the key is disabled then.
pub(super) fn cancel_key_deletion(
    call: &mut Call<'_>,
    request: &KeyRequest,
) -> Result<CancelKeyDeletionResponse, KmsError> {
    let id = request.resolve(call)?;
    call.store
        .change(|catalogue| catalogue.cancel_deletion(id, call.realm))?;
    Ok(CancelKeyDeletionResponse {
        key_id: call.realm().key_arn(id),
    })
}
