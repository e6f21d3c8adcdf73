//! The connections that there are, and which of them end when there is no room for another.
//!
//! Anybody can open connections and say nothing. If they could keep all places, nobody else would be served until they are given up, one
//! `limits.header_timeout` after the other. So whoever waits for a request, or sends its head slowly, may do so only while there is room.
//!
//! Anybody can also ask for something again and again, and be refused each time, which is no waiting. So while there is no room, an address keeps no
//! more than its share, `limits.connections_per_address`: what it has beyond makes room first, and it is given no further place but for one of its own.
//! While there is room, shares mean nothing: many clients may be behind one address.
//!
//! Behind a load balancer that names its clients, a newcomer has a place before anybody knows whose it is. One address could fill all places with such
//! newcomers, and have those make room that are within their shares. So these stay while there are enough that may turn out to be beyond one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::limits::{LEAVING_AT_ONCE, ROOM_PAUSE, UNDISTURBED, WARNING_PAUSE};
use crate::metrics::ConnectionMetrics;

/// All places, and who has them.
pub(super) struct Room {
    places: Arc<Semaphore>,
    /// What one address keeps while there is no room; none where it may keep all.
    share: Option<usize>,
    present: Arc<Mutex<Present>>,
    metrics: Option<ConnectionMetrics>,
}

#[derive(Default)]
struct Present {
    /// Those that are gone are taken out when room is made.
    connections: Vec<Weak<Connection>>,
    /// How many each address has.
    addresses: HashMap<IpAddr, usize>,
    /// When it was last said that there is no place, and that an address has more than its share.
    warned: Option<Instant>,
    warned_of_share: Option<Instant>,
}

/// What is known of one connection.
struct Connection {
    state: Mutex<State>,
    /// It has to leave, or has nothing to do any more before it does.
    leave: Notify,
}

struct State {
    /// Whose it is; none where many clients may be behind it, or nobody knows yet.
    address: Option<IpAddr>,
    /// Whether a proxy has yet to name the client.
    is_unnamed: bool,
    /// Requests whose answers hyper has not taken over whole yet.
    running: usize,
    /// Those of them whose answers wait for the client to take more.
    untaken: usize,
    /// Whether a write waits for the client.
    stalled: bool,
    /// Since when it has waited for a request; or, where answers wait for the client, since it last took something.
    since: Instant,
    /// Whether the client can be told to come again elsewhere before its connection ends.
    takes_leave: bool,
    leaving: Option<Leaving>,
}

/// How a connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// Without a word.
    AtOnce,
    /// After the client was told, and what it asked for before was answered.
    Politely,
}

/// What a connection does for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occupation {
    /// It waits for a request.
    Idle,
    /// It waits for the client to take answers.
    Untaken,
    Busy,
}

/// One connection's place, for as long as it lives.
pub(super) struct Seat {
    connection: Arc<Connection>,
    room: Arc<Mutex<Present>>,
    _place: OwnedSemaphorePermit,
    metrics: Option<ConnectionMetrics>,
}

/// What tells of the requests on a connection.
#[derive(Clone)]
pub(super) struct Activity(Arc<Connection>);

/// A request that runs: while it does, its connection is let alone.
pub(super) struct Running(Arc<Connection>);

/// A write that waits for the client.
pub(super) struct Stalled(Arc<Connection>);

/// An answer that waits for the client.
pub(super) struct Untaken {
    connection: Arc<Connection>,
    is_given_up: bool,
}

impl Room {
    /// Room for so many connections, of which each address keeps a share when there is none.
    pub(super) fn new(places: usize, share: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            share: (1..places).contains(&share).then_some(share),
            present: Arc::default(),
            metrics: None,
        }
    }

    /// Counts connections here.
    pub(super) fn counting(self, metrics: ConnectionMetrics) -> Self {
        Self {
            metrics: Some(metrics),
            ..self
        }
    }

    /// A place, as soon as there is one; none where there is no room and this address has its share already, in connections that all do something.
    /// Cancel safe: nothing is lost but the time that was waited.
    pub(super) async fn seat(&self, address: Option<IpAddr>) -> Option<Seat> {
        loop {
            if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
                return Some(self.take(place, address));
            }
            if !self.make_room(address) {
                self.refused(address);
                return None;
            }
            let freed = Arc::clone(&self.places).acquire_owned();
            if let Ok(Ok(place)) = tokio::time::timeout(ROOM_PAUSE, freed).await {
                return Some(self.take(place, address));
            }
        }
    }

    /// Says whose a connection is, once a proxy has named the client. Whether it may stay.
    pub(super) fn belongs_to(&self, seat: &Seat, address: Option<IpAddr>) -> bool {
        let count = {
            let mut present = lock(&self.present);
            let mut state = lock(&seat.connection.state);
            present.leave(state.address.take());
            state.address = address;
            state.is_unnamed = false;
            present.enter(address)
        };
        let is_full = self.places.available_permits() == 0;
        let is_beyond = self.share.is_some_and(|share| count > share);
        if is_full && is_beyond {
            self.refused(address);
        }
        !(is_full && is_beyond)
    }

    /// Has connections end: those beyond the shares of their addresses, and those that have waited for a request for longest, if any has for long enough.
    /// Where the newcomer's address has its share already, only connections of that address. Whether waiting for a place makes sense.
    pub(super) fn make_room(&self, newcomer: Option<IpAddr>) -> bool {
        let mut present = lock(&self.present);
        present
            .connections
            .retain(|connection| connection.strong_count() > 0);
        let present = &mut *present;
        let has_share = self
            .share
            .is_some_and(|share| present.of(newcomer) >= share);
        let mut leaving = 0;
        let mut unnamed = 0;
        let mut eligible = Vec::new();
        for connection in present.connections.iter().filter_map(Weak::upgrade) {
            let state = lock(&connection.state);
            let is_own = state.address.is_some() && state.address == newcomer;
            if has_share && !is_own {
                continue;
            }
            let (occupation, since, address) = (state.occupation(), state.since, state.address);
            let is_disturbed = since.elapsed() >= UNDISTURBED;
            unnamed += usize::from(state.is_unnamed && !is_disturbed);
            if state.leaving.is_some() {
                leaving += usize::from(occupation != Occupation::Busy);
                continue;
            }
            drop(state);
            let is_beyond =
                !has_share && self.share.is_some_and(|share| present.of(address) > share);
            let may_go = match occupation {
                Occupation::Idle => is_beyond || is_disturbed,
                Occupation::Untaken => (is_beyond || has_share) && is_disturbed,
                Occupation::Busy => false,
            };
            if may_go {
                eligible.push((
                    !is_beyond,
                    occupation == Occupation::Untaken,
                    since,
                    connection,
                ));
            }
        }
        // First those beyond a share, of these the idle ones, of these the longest waiting.
        eligible.sort_unstable_by_key(|(within, untaken, since, _)| (*within, *untaken, *since));
        let mut surplus: HashMap<IpAddr, usize> = HashMap::new();
        let mut dismissed = 0;
        for (is_within, _, _, connection) in eligible {
            let awaited = if is_within { unnamed } else { 0 };
            if leaving + dismissed + awaited >= LEAVING_AT_ONCE {
                break;
            }
            let address = lock(&connection.state).address;
            if let (false, Some(address), Some(share)) = (is_within, address, self.share) {
                let left = surplus
                    .entry(address)
                    .or_insert_with(|| present.of(Some(address)).saturating_sub(share));
                if *left == 0 {
                    continue;
                }
                *left -= 1;
            }
            if connection.dismiss(is_within && !has_share) {
                dismissed += 1;
                if let Some(metrics) = &self.metrics {
                    let is_share = has_share || !is_within;
                    metrics.closed(if is_share { "share" } else { "idle" });
                }
            }
        }
        if let Some((address, _)) = surplus.iter().next() {
            self.warn_of_share(present, *address);
        }
        if is_due(&mut present.warned) {
            tracing::warn!(
                connections = present.connections.len(),
                "there is no room for another connection; those that wait for a request are closed, the longest waiting first. Where these are no attack, raise limits.connections, and the limit of open files with it"
            );
        }
        !has_share || leaving + dismissed > 0
    }

    fn refused(&self, address: Option<IpAddr>) {
        if let Some(metrics) = &self.metrics {
            metrics.closed("refused");
        }
        if let Some(address) = address {
            self.warn_of_share(&mut lock(&self.present), address);
        }
    }

    fn warn_of_share(&self, present: &mut Present, address: IpAddr) {
        if is_due(&mut present.warned_of_share) {
            tracing::warn!(
                %address,
                connections = present.addresses.get(&address),
                share = self.share,
                "there is no room, and an address has more connections than its share; those are closed first, and it is given no more. If many clients are behind it, name it in listener.trusted_proxies or listener.proxy_protocol, or raise limits.connections_per_address"
            );
        }
    }

    fn take(&self, place: OwnedSemaphorePermit, address: Option<IpAddr>) -> Seat {
        let connection = Arc::new(Connection {
            state: Mutex::new(State {
                address,
                is_unnamed: false,
                running: 0,
                untaken: 0,
                stalled: false,
                since: Instant::now(),
                takes_leave: false,
                leaving: None,
            }),
            leave: Notify::new(),
        });
        let mut present = lock(&self.present);
        present.enter(address);
        let connections = &mut present.connections;
        if connections.len() == connections.capacity() {
            // Before it grows: so it stays at about twice as many as there are.
            connections.retain(|connection| connection.strong_count() > 0);
        }
        connections.push(Arc::downgrade(&connection));
        if let Some(metrics) = &self.metrics {
            metrics.opened();
        }
        Seat {
            connection,
            room: Arc::clone(&self.present),
            _place: place,
            metrics: self.metrics.clone(),
        }
    }
}

impl Present {
    /// How many connections an address has; none is counted where nobody knows whose they are.
    fn of(&self, address: Option<IpAddr>) -> usize {
        let count = address.and_then(|address| self.addresses.get(&address));
        count.copied().unwrap_or_default()
    }

    /// One more of an address; how many it has now.
    fn enter(&mut self, address: Option<IpAddr>) -> usize {
        address.map_or(0, |address| {
            let count = self.addresses.entry(address).or_default();
            *count += 1;
            *count
        })
    }

    fn leave(&mut self, address: Option<IpAddr>) {
        if let Some(address) = address
            && let Some(count) = self.addresses.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&address);
            }
        }
    }
}

impl Seat {
    /// What tells of this connection's requests.
    pub(super) fn activity(&self) -> Activity {
        Activity(Arc::clone(&self.connection))
    }

    /// A proxy has yet to name its client: until then it may be anybody's.
    pub(super) fn will_be_named(&self) {
        lock(&self.connection.state).is_unnamed = true;
    }

    /// From now on its client can be told before the connection ends.
    pub(super) fn takes_leave(&self) {
        lock(&self.connection.state).takes_leave = true;
    }

    /// Whether a request runs, or an answer is on its way.
    pub(super) fn is_busy(&self) -> bool {
        let state = lock(&self.connection.state);
        state.occupation() != Occupation::Idle
    }

    /// Until the connection has to end, because another needs its place.
    pub(super) async fn dismissed(&self) -> Leaving {
        loop {
            if let Some(leaving) = lock(&self.connection.state).leaving {
                return leaving;
            }
            self.connection.leave.notified().await;
        }
    }

    /// Until nothing runs on a connection that has to end.
    pub(super) async fn quiet(&self) {
        while self.is_busy() {
            self.connection.leave.notified().await;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut present = lock(&self.room);
        present.leave(lock(&self.connection.state).address.take());
        if let Some(metrics) = &self.metrics {
            metrics.ended();
        }
    }
}

impl Activity {
    /// A request begins; none where the connection is ending.
    pub(super) fn begin(&self) -> Option<Running> {
        let mut state = lock(&self.0.state);
        if state.leaving == Some(Leaving::AtOnce) {
            return None;
        }
        state.running += 1;
        Some(Running(Arc::clone(&self.0)))
    }

    /// A write begins to wait for the client.
    pub(super) fn stall(&self) -> Stalled {
        let mut state = lock(&self.0.state);
        state.stalled = true;
        state.since = Instant::now();
        Stalled(Arc::clone(&self.0))
    }

    /// An answer begins to wait for the client.
    pub(super) fn wait_for_client(&self) -> Untaken {
        let mut state = lock(&self.0.state);
        // One more than one that waits for long is no sign of life.
        if state.untaken == 0 {
            state.since = Instant::now();
        }
        state.untaken += 1;
        Untaken {
            connection: Arc::clone(&self.0),
            is_given_up: false,
        }
    }
}

impl Untaken {
    /// The client is waited for no longer.
    pub(super) fn give_up(mut self) {
        self.is_given_up = true;
    }
}

impl State {
    fn occupation(&self) -> Occupation {
        if self.stalled || (self.running > 0 && self.untaken >= self.running) {
            Occupation::Untaken
        } else if self.running > 0 {
            Occupation::Busy
        } else {
            Occupation::Idle
        }
    }
}

impl Connection {
    /// Has the connection end, unless a request has begun meanwhile.
    fn dismiss(&self, politely: bool) -> bool {
        let mut state = lock(&self.state);
        if state.occupation() == Occupation::Busy {
            return false;
        }
        state.leaving = Some(if politely && state.takes_leave {
            Leaving::Politely
        } else {
            Leaving::AtOnce
        });
        self.leave.notify_one();
        true
    }

    /// Something is over.
    fn change(&self, how: impl FnOnce(&mut State)) {
        let mut state = lock(&self.state);
        how(&mut state);
        if state.leaving.is_some() && state.occupation() == Occupation::Idle {
            self.leave.notify_one();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.running = state.running.saturating_sub(1);
            if state.running == 0 {
                state.since = Instant::now();
            }
        });
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.stalled = false;
            state.since = Instant::now();
        });
    }
}

impl Drop for Untaken {
    fn drop(&mut self) {
        let is_taken = !self.is_given_up;
        self.connection.change(|state| {
            state.untaken = state.untaken.saturating_sub(1);
            if is_taken {
                state.since = Instant::now();
            }
        });
    }
}

/// Whether it is time to say something again; then it is taken to be said.
fn is_due(warned: &mut Option<Instant>) -> bool {
    let is_due = warned.is_none_or(|warned| warned.elapsed() >= WARNING_PAUSE);
    if is_due {
        *warned = Some(Instant::now());
    }
    is_due
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
