//! Callers that give up, and disks that are slow or do not answer.

use super::*;

/// A log on a disk that can be made to fail.
fn on_failing(options: LogOptions) -> (Log, Failing) {
    let disk = Failing::default();
    let log = Log::open_on(options, Box::new(disk.clone())).unwrap();
    (log, disk)
}

fn impatient(place: &Path) -> LogOptions {
    LogOptions {
        patience: Duration::from_millis(50),
        ..options(place)
    }
}

#[tokio::test]
async fn a_disk_that_does_not_answer_does_not_keep_a_log_open() {
    let place = tempfile::tempdir().unwrap();
    let (log, disk) = on_failing(impatient(place.path()));
    disk.stalls.store(true, Ordering::SeqCst);
    log.submit(intent("a"));
    assert!(!log.close());
    // Nobody who asks again hears anything else, or waits again.
    let asked = Instant::now();
    assert!((0..100).all(|_| !log.close()));
    assert!(asked.elapsed() < Duration::from_secs(3));
    drop(log);
    // The files are the thread's as long as it may write.
    let again = || Log::open_on(options(place.path()), Box::new(Failing::default()));
    assert!(matches!(again(), Err(OpenError::Locked(_))));
    disk.stalls.store(false, Ordering::SeqCst);
    until(|| again().is_ok_and(|log| log.close()));
    assert!(kinds(&checked(place.path())).contains(&Kind::Intent));
}

#[tokio::test]
async fn a_log_that_was_not_closed_in_time_is_closed_once_the_disk_answers() {
    let place = tempfile::tempdir().unwrap();
    let (log, disk) = on_failing(impatient(place.path()));
    disk.stalls.store(true, Ordering::SeqCst);
    log.submit(intent("a"));
    assert!(!log.close());
    disk.stalls.store(false, Ordering::SeqCst);
    until(|| log.close());
    assert_eq!(checked(place.path()).last().unwrap().kind, Kind::Stop);
}

#[tokio::test]
async fn a_disk_that_is_slow_is_waited_for_as_long_as_it_gets_something_done() {
    let place = tempfile::tempdir().unwrap();
    let (log, disk) = on_failing(LogOptions {
        patience: Duration::from_secs(1),
        checkpoint_interval: Duration::from_hours(1),
        ..options(place.path())
    });
    disk.takes.store(300, Ordering::SeqCst);
    log.submit(intent("a"));
    let closing = Instant::now();
    // What waits, the end, the segment and the checkpoint: four syncs, which together take longer than callers wait.
    assert!(log.close());
    assert!(closing.elapsed() > Duration::from_secs(1));
    assert_eq!(log.failure(), None);
    assert_eq!(checked(place.path()).last().unwrap().kind, Kind::Stop);
}

#[tokio::test]
async fn what_fails_after_its_caller_gave_up_is_counted_as_lost() {
    let place = tempfile::tempdir().unwrap();
    let (log, disk) = on_failing(options(place.path()));
    disk.stalls.store(true, Ordering::SeqCst);
    let mut first = log.begin(vec![intent("a")]).await.unwrap();
    drop(log.begin(vec![intent("b")]).await.unwrap());
    disk.syncs.store(true, Ordering::SeqCst);
    disk.stalls.store(false, Ordering::SeqCst);
    let error = first.durable().await.unwrap_err();
    assert!(matches!(error, RecordError::Disk(_)), "{error}");
    until(|| log.lost() == 1);
    disk.syncs.store(false, Ordering::SeqCst);
}

#[tokio::test]
async fn what_failed_before_its_caller_gave_up_unheard_is_counted_as_lost() {
    let place = tempfile::tempdir().unwrap();
    let (log, disk) = on_failing(options(place.path()));
    disk.syncs.store(true, Ordering::SeqCst);
    let unheard = log.begin(vec![intent("a"), intent("b")]).await.unwrap();
    until(|| log.failure().is_some());
    disk.syncs.store(false, Ordering::SeqCst);
    until(|| log.failure().is_none());
    assert_eq!(log.lost(), 0);
    drop(unheard);
    assert_eq!(log.lost(), 2);
    // Whoever hears of it knows, and whoever gives up on what is durable has lost nothing.
    let mut heard = log.begin(vec![intent("c")]).await.unwrap();
    assert!(heard.durable().await.is_ok());
    drop(heard);
    drop(log.begin(vec![intent("d")]).await.unwrap());
    log.record(vec![intent("e")]).await.unwrap();
    assert_eq!(log.lost(), 2);
}

#[tokio::test]
async fn what_fails_between_the_end_of_the_patience_and_giving_up_is_counted_as_lost() {
    let place = tempfile::tempdir().unwrap();
    let (log, disk) = on_failing(impatient(place.path()));
    disk.stalls.store(true, Ordering::SeqCst);
    let mut pending = log.begin(vec![intent("a")]).await.unwrap();
    assert_eq!(pending.durable().await, Err(RecordError::Slow));
    disk.syncs.store(true, Ordering::SeqCst);
    disk.stalls.store(false, Ordering::SeqCst);
    until(|| lock_of(&log.shared.failure).is_some());
    disk.syncs.store(false, Ordering::SeqCst);
    until(|| log.failure().is_none());
    drop(pending);
    assert_eq!(log.lost(), 1);
}

#[tokio::test]
async fn a_disk_that_does_not_answer_refuses_at_once_until_it_does() {
    let place = tempfile::tempdir().unwrap();
    let (log, disk) = on_failing(LogOptions {
        checkpoint_interval: Duration::from_hours(1),
        ..impatient(place.path())
    });
    disk.stalls.store(true, Ordering::SeqCst);
    assert_eq!(log.record(vec![intent("a")]).await, Err(RecordError::Slow));
    until(|| log.failure().is_some());
    let error = log.record(vec![intent("b")]).await.unwrap_err();
    assert!(error.to_string().contains("has not answered"), "{error}");
    disk.stalls.store(false, Ordering::SeqCst);
    until(|| log.failure().is_none());
    // What its caller gave up on is in the log all the same, and what was refused is not.
    log.close();
    let events = checked(place.path());
    let named = |name: &str| events.iter().any(|e| e.request.as_deref() == Some(name));
    assert!(named("a") && !named("b"));
}
