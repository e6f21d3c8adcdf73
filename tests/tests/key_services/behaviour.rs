//! What every key service does in every situation. A situation that one of them can't be in is declared with the reason.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use async_trait::async_trait;
use sealgate_envelope::key_service::{
    DeletionManner, EncryptionContext, KeyService, RewrapSource, UnwrapPermit, failure_of, revokes,
};
use sealgate_envelope::{Domain, Error, KeyReference, KeyServiceFailure, WorkingKeyId, Wrap};

/// How long a call may take in any situation: the time-outs of [`TIMEOUT`] with all retries, and a busy machine.
const CALL_LIMIT: Duration = Duration::from_secs(20);

/// What the services under test are given for one try.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(700);

/// What they are given for a call with its retries.
pub(crate) const OPERATION_TIMEOUT: Duration = Duration::from_secs(3);

/// How many calls the concurrent case makes at once.
const CONCURRENCY: usize = 32;

/// What can befall a key, or the way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Situation {
    /// Somebody took the right to use it away, and may give it back.
    Disabled,
    /// It is gone, or going.
    Deleted,
    /// The service has too much to do.
    Throttled,
    /// The service does not answer.
    Slow,
    /// There is no service.
    Unreachable,
    /// Something else answers.
    Malformed,
    /// It has a new version.
    Rotated,
}

impl Situation {
    pub(crate) const ALL: [Self; 7] = [
        Self::Disabled,
        Self::Deleted,
        Self::Throttled,
        Self::Slow,
        Self::Unreachable,
        Self::Malformed,
        Self::Rotated,
    ];
}

/// Whether a situation was brought about.
pub(crate) enum Outcome {
    /// It was.
    Arranged,
    /// Keys of this service can't be in it, for this reason.
    CannotApply(&'static str),
}

/// A key in the service, and our way to it.
pub(crate) struct Key {
    /// As the administrator of the service knows it.
    pub(crate) name: String,
    pub(crate) service: Arc<dyn KeyService>,
}

/// A key service and the power to do anything to it.
#[async_trait]
pub(crate) trait Administrator {
    /// A key that nobody has used.
    async fn new_key(&mut self) -> Result<Key>;

    /// Brings a situation about.
    async fn bring_about(&mut self, situation: Situation, key: &Key) -> Result<Outcome>;

    /// Ends it. Not asked for what can't be undone.
    async fn undo(&mut self, situation: Situation, key: &Key) -> Result<()>;
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test is its own policy and audit"
)]
pub(crate) fn permit() -> UnwrapPermit {
    UnwrapPermit::issue("behaviour of key services")
}

pub(crate) fn context(domain: &str, id: u8) -> EncryptionContext {
    let domain = Domain::new(domain).expect("a domain");
    EncryptionContext::new(domain, WorkingKeyId::from_bytes([id; 16]))
}

/// The whole table. `impossible` are the situations that the service declares not to know, in order; it fails if they are
/// others.
pub(crate) async fn check(
    administrator: &mut dyn Administrator,
    impossible: &[Situation],
) -> Result<()> {
    opens_for_its_context_only(administrator)
        .await
        .context("round trip and wrong context")?;
    opens_its_own_wraps_only(administrator)
        .await
        .context("wrong key")?;
    serves_many_at_once(administrator)
        .await
        .context("concurrent")?;
    ends_for_ever(administrator)
        .await
        .context("deletion by the service's client")?;
    let mut declared = BTreeMap::new();
    for situation in Situation::ALL {
        let key = administrator.new_key().await?;
        let one = one(administrator, situation, &key).await;
        if let Outcome::CannotApply(reason) = one.with_context(|| format!("{situation:?}"))? {
            declared.insert(situation, reason);
        }
    }
    ensure!(
        declared.keys().eq(impossible),
        "declared impossible: {declared:?}, expected: {impossible:?}"
    );
    Ok(())
}

async fn opens_for_its_context_only(administrator: &mut dyn Administrator) -> Result<()> {
    let key = administrator.new_key().await?.service;
    let (made, wrap) = key.generate(&context("d/a", 1)).await?;
    ensure!(wrap.provider() == key.provider());
    ensure!(wrap.key_reference() == key.key_reference().await?);
    ensure!(key.unwrap(&permit(), &context("d/a", 1), &wrap).await? == made);
    let (another, _) = key.generate(&context("d/a", 1)).await?;
    ensure!(another != made, "two working keys are one");

    let wrapped = key.wrap(&context("d/b", 2), &made).await?;
    ensure!(key.unwrap(&permit(), &context("d/b", 2), &wrapped).await? == made);
    for (wrap, wrong) in [
        (&wrap, context("d/b", 1)),
        (&wrap, context("d/a", 2)),
        (&wrapped, context("d/a", 2)),
    ] {
        expect(
            &key.unwrap(&permit(), &wrong, wrap).await,
            KeyServiceFailure::Refused,
        )?;
        let rewrapped = key.rewrap(&wrong, wrap, RewrapSource::SameKey).await;
        expect(&rewrapped, KeyServiceFailure::Refused)?;
    }
    // Any bit, in the middle and at the end; the ends of texts in base64 have bits that mean nothing.
    let length = wrap.blob().len();
    for position in [length / 2, length - 6] {
        let mut blob = wrap.blob().to_vec();
        if let Some(byte) = blob.get_mut(position) {
            *byte = if *byte == b'A' { b'B' } else { b'A' };
        }
        let changed = Wrap::new(wrap.provider(), wrap.key_reference(), blob)?;
        let opened = key.unwrap(&permit(), &context("d/a", 1), &changed).await;
        expect(&opened, KeyServiceFailure::Refused)?;
    }
    Ok(())
}

async fn opens_its_own_wraps_only(administrator: &mut dyn Administrator) -> Result<()> {
    let (first, second) = (
        administrator.new_key().await?,
        administrator.new_key().await?,
    );
    let (_, wrap) = first.service.generate(&context("d", 1)).await?;
    let reference = second.service.key_reference().await?;
    ensure!(
        reference != wrap.key_reference(),
        "two keys have one reference"
    );
    let opened = second
        .service
        .unwrap(&permit(), &context("d", 1), &wrap)
        .await;
    expect(&opened, KeyServiceFailure::NotConfigured)?;
    // Whoever writes headers can write another reference, too.
    let forged = Wrap::new(wrap.provider(), reference, wrap.blob().to_vec())?;
    let opened = second
        .service
        .unwrap(&permit(), &context("d", 1), &forged)
        .await;
    expect(&opened, KeyServiceFailure::Refused)
}

/// Another key of the same service is not touched, and what is scheduled already is told again.
async fn ends_for_ever(administrator: &mut dyn Administrator) -> Result<()> {
    let (key, other) = (
        administrator.new_key().await?.service,
        administrator.new_key().await?.service,
    );
    let context = context("d", 9);
    let (_, wrap) = key.generate(&context).await?;
    let (kept, kept_wrap) = other.generate(&context).await?;
    let before = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let deletion = key.schedule_deletion(7).await?;
    let named = KeyReference::of(key.provider(), &deletion.key_name)?;
    ensure!(
        named == wrap.key_reference(),
        "{} was deleted",
        deletion.key_name
    );
    let is_scheduled = matches!(
        deletion.manner,
        DeletionManner::Scheduled | DeletionManner::ScheduledElsewhere
    );
    let waiting = if is_scheduled {
        Duration::from_hours(7 * 24)
    } else {
        Duration::ZERO
    };
    let final_from = Duration::from_millis(deletion.final_from);
    let earliest = before + waiting;
    ensure!(
        final_from + Duration::from_secs(1) >= earliest && final_from < earliest + CALL_LIMIT,
        "final from {final_from:?}, asked at {before:?}"
    );
    let opened = key.unwrap(&permit(), &context, &wrap).await;
    fails_as_it_should(Situation::Deleted, &opened)?;
    let made = key.generate(&context).await;
    fails_as_it_should(Situation::Deleted, &made.map(drop))?;
    match key.schedule_deletion(30).await {
        Ok(again) => ensure!(again == deletion, "{again:?} instead of {deletion:?}"),
        Err(error) => expect::<()>(&Err(error), KeyServiceFailure::NotFound)?,
    }
    ensure!(other.unwrap(&permit(), &context, &kept_wrap).await? == kept);
    Ok(())
}

async fn serves_many_at_once(administrator: &mut dyn Administrator) -> Result<()> {
    let key = administrator.new_key().await?.service;
    let mut calls = tokio::task::JoinSet::new();
    for index in 0..CONCURRENCY {
        let key = Arc::clone(&key);
        calls.spawn(async move {
            let context = context("d", u8::try_from(index)?);
            let (made, wrap) = key.generate(&context).await?;
            ensure!(key.unwrap(&permit(), &context, &wrap).await? == made);
            anyhow::Ok(*made.expose())
        });
    }
    let made: Result<BTreeSet<_>> = calls.join_all().await.into_iter().collect();
    ensure!(made?.len() == CONCURRENCY, "two working keys are one");
    Ok(())
}

async fn one(
    administrator: &mut dyn Administrator,
    situation: Situation,
    key: &Key,
) -> Result<Outcome> {
    let context = context("d", 7);
    let (made, wrap) = key.service.generate(&context).await?;
    if let Outcome::CannotApply(reason) = administrator.bring_about(situation, key).await? {
        return Ok(Outcome::CannotApply(reason));
    }
    if situation == Situation::Rotated {
        ensure!(key.service.unwrap(&permit(), &context, &wrap).await? == made);
        let rewrapped = key
            .service
            .rewrap(&context, &wrap, RewrapSource::SameKey)
            .await?;
        ensure!(rewrapped.blob() != wrap.blob(), "nothing was rewrapped");
        ensure!(rewrapped.key_reference() == wrap.key_reference());
        ensure!(key.service.unwrap(&permit(), &context, &rewrapped).await? == made);
        let (made, wrap) = key.service.generate(&context).await?;
        ensure!(key.service.unwrap(&permit(), &context, &wrap).await? == made);
        return Ok(Outcome::Arranged);
    }
    let started = Instant::now();
    fails_as_it_should(
        situation,
        &key.service.unwrap(&permit(), &context, &wrap).await,
    )
    .context("unwrap")?;
    ensure!(
        started.elapsed() < CALL_LIMIT,
        "unwrap took {:?}",
        started.elapsed()
    );
    fails_as_it_should(situation, &key.service.generate(&context).await).context("generate")?;
    fails_as_it_should(situation, &key.service.wrap(&context, &made).await).context("wrap")?;
    let rewrapped = key
        .service
        .rewrap(&context, &wrap, RewrapSource::SameKey)
        .await;
    fails_as_it_should(situation, &rewrapped).context("rewrap")?;
    if situation != Situation::Deleted {
        administrator.undo(situation, key).await?;
        let opened = key.service.unwrap(&permit(), &context, &wrap).await;
        ensure!(opened.context("afterwards")? == made);
    }
    Ok(Outcome::Arranged)
}

fn fails_as_it_should<T>(situation: Situation, outcome: &Result<T, Error>) -> Result<()> {
    let Err(error) = outcome else {
        bail!("it succeeded");
    };
    match situation {
        // What is in memory is dropped: somebody decided so.
        Situation::Disabled | Situation::Deleted => {
            ensure!(revokes(error), "{error}: {}", error.detail());
            Ok(())
        }
        Situation::Throttled => expect(outcome, KeyServiceFailure::Throttled),
        Situation::Slow | Situation::Unreachable => expect(outcome, KeyServiceFailure::Unavailable),
        Situation::Malformed => expect(outcome, KeyServiceFailure::Malformed),
        Situation::Rotated => bail!("a rotated key works"),
    }
}

/// That a call failed, in this way.
pub(crate) fn expect<T>(outcome: &Result<T, Error>, expected: KeyServiceFailure) -> Result<()> {
    let Err(error) = outcome else {
        bail!("it succeeded and should have failed: {expected:?}");
    };
    ensure!(
        failure_of(error) == Some(expected),
        "{expected:?} expected, {error:?}: {}",
        error.detail()
    );
    Ok(())
}
