//! The connections that there are, and which of them end when there is no room for another.
//!
//! Anybody can open connections and say nothing. If they could keep all places, nobody else would be served until they are given up, one
//! `limits.header_timeout` after the other. So whoever waits for a request, or sends its head slowly, may do so only while there is room.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::limits::{LEAVING_AT_ONCE, ROOM_PAUSE, UNDISTURBED, WARNING_PAUSE};

/// All places, and who has them.
pub(super) struct Room {
    places: Arc<Semaphore>,
    present: Mutex<Present>,
}

#[derive(Default)]
struct Present {
    /// Those that are gone are taken out when room is made.
    connections: Vec<Weak<Connection>>,
    /// When it was last said that there is none.
    warned: Option<Instant>,
}

/// What is known of one connection.
struct Connection {
    state: Mutex<State>,
    leave: Notify,
}

struct State {
    /// Requests whose answers hyper has not taken over whole yet, and a write that waits for the client.
    running: usize,
    /// Since when there is none.
    waits_since: Instant,
    must_leave: bool,
}

/// One connection's place, for as long as it lives.
pub(super) struct Seat {
    connection: Arc<Connection>,
    _place: OwnedSemaphorePermit,
}

/// What tells of the requests on a connection.
#[derive(Clone)]
pub(super) struct Activity(Arc<Connection>);

/// A request that runs: while it does, its connection is let alone.
pub(super) struct Running(Arc<Connection>);

impl Room {
    /// Room for so many connections.
    pub(super) fn new(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            present: Mutex::default(),
        }
    }

    /// A place, as soon as there is one. Cancel safe: nothing is lost but the time that was waited.
    pub(super) async fn seat(&self) -> Seat {
        loop {
            if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
                return self.take(place);
            }
            self.make_room();
            let freed = Arc::clone(&self.places).acquire_owned();
            if let Ok(Ok(place)) = tokio::time::timeout(ROOM_PAUSE, freed).await {
                return self.take(place);
            }
        }
    }

    /// Has connections end that have waited for a request for longest, if any has for long enough.
    pub(super) fn make_room(&self) {
        let mut present = lock(&self.present);
        present
            .connections
            .retain(|connection| connection.strong_count() > 0);
        let mut waiting: Vec<(Instant, Arc<Connection>)> = present
            .connections
            .iter()
            .filter_map(Weak::upgrade)
            .filter_map(|connection| Some((connection.waits_since()?, connection)))
            .filter(|(since, _)| since.elapsed() >= UNDISTURBED)
            .collect();
        waiting.sort_unstable_by_key(|(since, _)| *since);
        waiting.truncate(LEAVING_AT_ONCE);
        for (_, connection) in &waiting {
            connection.dismiss();
        }
        let is_due = present
            .warned
            .is_none_or(|warned| warned.elapsed() >= WARNING_PAUSE);
        if is_due {
            present.warned = Some(Instant::now());
            tracing::warn!(
                connections = present.connections.len(),
                "there is no room for another connection; those that wait for a request are closed, the longest waiting first. Where these are no attack, raise limits.connections, and the limit of open files with it"
            );
        }
    }

    fn take(&self, place: OwnedSemaphorePermit) -> Seat {
        let connection = Arc::new(Connection {
            state: Mutex::new(State {
                running: 0,
                waits_since: Instant::now(),
                must_leave: false,
            }),
            leave: Notify::new(),
        });
        let mut present = lock(&self.present);
        let connections = &mut present.connections;
        if connections.len() == connections.capacity() {
            // Before it grows: so it stays at about twice as many as there are.
            connections.retain(|connection| connection.strong_count() > 0);
        }
        connections.push(Arc::downgrade(&connection));
        Seat {
            connection,
            _place: place,
        }
    }
}

impl Seat {
    /// What tells of this connection's requests.
    pub(super) fn activity(&self) -> Activity {
        Activity(Arc::clone(&self.connection))
    }

    /// Whether a request runs.
    #[cfg(test)]
    pub(super) fn is_busy(&self) -> bool {
        self.connection.waits_since().is_none()
    }

    /// Until the connection has to end, because another needs its place.
    pub(super) async fn dismissed(&self) {
        self.connection.leave.notified().await;
    }
}

impl Activity {
    /// A request begins; none where the connection is ending.
    pub(super) fn begin(&self) -> Option<Running> {
        let mut state = lock(&self.0.state);
        if state.must_leave {
            return None;
        }
        state.running += 1;
        Some(Running(Arc::clone(&self.0)))
    }
}

impl Connection {
    fn waits_since(&self) -> Option<Instant> {
        let state = lock(&self.state);
        (state.running == 0 && !state.must_leave).then_some(state.waits_since)
    }

    fn dismiss(&self) {
        let mut state = lock(&self.state);
        // A request may have begun meanwhile.
        if state.running == 0 {
            state.must_leave = true;
            self.leave.notify_one();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.running = state.running.saturating_sub(1);
        state.waits_since = Instant::now();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Whether there is a place within the time that those who wait are left undisturbed, and half as much again.
    async fn finds_a_place(room: &Room) -> bool {
        let longest = UNDISTURBED + UNDISTURBED / 2;
        tokio::time::timeout(longest, room.seat()).await.is_ok()
    }

    #[tokio::test]
    async fn whoever_waits_for_longest_makes_room_and_whoever_is_served_does_not() {
        let room = Room::new(3);
        let (busy, first, second) = (room.seat().await, room.seat().await, room.seat().await);
        let running = busy.activity().begin();
        drop(first.activity().begin());
        // The second is the one that waits for longest now, and it goes when it is told to.
        let leaving = tokio::spawn(async move { second.dismissed().await });
        std::thread::sleep(UNDISTURBED);
        drop(first.activity().begin());
        assert!(finds_a_place(&room).await);
        leaving.await.unwrap();
        assert!(first.activity().begin().is_some());
        assert!(busy.activity().begin().is_some());
        drop(running);
    }

    #[tokio::test]
    async fn nobody_has_to_go_who_has_just_come_or_while_there_is_room() {
        let room = Room::new(2);
        let first = room.seat().await;
        std::thread::sleep(UNDISTURBED);
        let second = room.seat().await;
        drop(second);
        let second = room.seat().await;
        assert!(first.activity().begin().is_some(), "there was room");
        let early = tokio::time::timeout(Duration::from_millis(50), room.seat()).await;
        assert!(early.is_err());
        assert!(second.activity().begin().is_some(), "it had just come");
    }

    #[tokio::test]
    async fn a_connection_that_has_to_go_begins_nothing_any_more() {
        let room = Room::new(1);
        let seat = room.seat().await;
        std::thread::sleep(UNDISTURBED);
        room.make_room();
        assert!(seat.activity().begin().is_none());
        seat.dismissed().await;
        drop(seat);
        assert!(finds_a_place(&room).await);
    }

    #[tokio::test]
    async fn connections_that_are_gone_are_forgotten() {
        let room = Room::new(10);
        for _ in 0..1_000 {
            drop(room.seat().await);
        }
        assert!(lock(&room.present).connections.len() < 100);
    }
}
