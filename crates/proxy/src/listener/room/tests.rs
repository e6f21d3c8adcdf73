//! Who has to go, and who does not.

use std::time::Duration;

use super::*;

async fn seat(room: &Room) -> Seat {
    room.seat(None).await.unwrap()
}

/// A place for one of these addresses.
async fn seat_of(room: &Room, address: u8) -> Seat {
    room.seat(Some([192, 0, 2, address].into())).await.unwrap()
}

/// Whether it has to go.
fn must_leave(seat: &Seat) -> Option<Leaving> {
    lock(&seat.connection.state).leaving
}

/// Whether there is a place within the time that those who wait are left undisturbed, and half as much again.
async fn finds_a_place(room: &Room) -> bool {
    let longest = UNDISTURBED + UNDISTURBED / 2;
    let found = tokio::time::timeout(longest, room.seat(None)).await;
    found.is_ok_and(|seat| seat.is_some())
}

#[tokio::test]
async fn whoever_waits_for_longest_makes_room_and_whoever_is_served_does_not() {
    let room = Room::new(3, 0);
    let (busy, first, second) = (seat(&room).await, seat(&room).await, seat(&room).await);
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
    let room = Room::new(2, 0);
    let first = seat(&room).await;
    std::thread::sleep(UNDISTURBED);
    let second = seat(&room).await;
    drop(second);
    let second = seat(&room).await;
    assert!(first.activity().begin().is_some(), "there was room");
    let early = tokio::time::timeout(Duration::from_millis(50), room.seat(None)).await;
    assert!(early.is_err());
    assert!(second.activity().begin().is_some(), "it had just come");
}

#[tokio::test]
async fn a_connection_that_has_to_go_begins_nothing_any_more() {
    let room = Room::new(1, 0);
    let seat = seat(&room).await;
    std::thread::sleep(UNDISTURBED);
    room.make_room(None);
    assert!(seat.activity().begin().is_none());
    seat.dismissed().await;
    drop(seat);
    assert!(finds_a_place(&room).await);
}

#[tokio::test]
async fn connections_that_are_gone_are_forgotten() {
    let room = Room::new(10, 0);
    for _ in 0..1_000 {
        drop(seat(&room).await);
    }
    assert!(lock(&room.present).connections.len() < 100);
}

#[tokio::test]
async fn an_address_beyond_its_share_makes_room_however_often_it_asks() {
    let room = Room::new(4, 2);
    let other = seat_of(&room, 2).await;
    let mut of_one = Vec::new();
    for _ in 0..3 {
        of_one.push(seat_of(&room, 1).await);
    }
    // Each has been refused something just now, and one waits for the next refusal.
    for seat in &of_one {
        drop(seat.activity().begin());
    }
    let busy = of_one[0].activity().begin();
    assert!(room.make_room(Some([192, 0, 2, 3].into())));
    let leaving: Vec<_> = of_one.iter().map(must_leave).collect();
    assert_eq!(leaving, [None, Some(Leaving::AtOnce), None]);
    assert_eq!(must_leave(&other), None);
    drop(busy);
}

#[tokio::test]
async fn an_address_with_its_share_is_refused_where_there_is_no_room_and_others_wait() {
    let room = Room::new(3, 2);
    let (first, second) = (seat_of(&room, 1).await, seat_of(&room, 1).await);
    let other = seat_of(&room, 2).await;
    assert!(room.seat(Some([192, 0, 2, 1].into())).await.is_none());
    let early = Duration::from_millis(50);
    let waiting = room.seat(Some([192, 0, 2, 2].into()));
    assert!(tokio::time::timeout(early, waiting).await.is_err());
    // For one of its own it gets another, and nobody else has to go for it.
    std::thread::sleep(UNDISTURBED);
    drop(first.activity().begin());
    let address = Some([192, 0, 2, 1].into());
    assert!(room.make_room(address));
    assert_eq!((must_leave(&first), must_leave(&other)), (None, None));
    assert_eq!(must_leave(&second), Some(Leaving::AtOnce));
}

#[tokio::test]
async fn while_there_is_room_an_address_may_have_it() {
    let room = Room::new(4, 1);
    let mut seats = Vec::new();
    for _ in 0..4 {
        seats.push(seat_of(&room, 1).await);
    }
    drop(seats);
    assert!(lock(&room.present).addresses.is_empty());
}

#[tokio::test]
async fn a_client_that_a_proxy_names_is_counted_from_then_on() {
    let room = Room::new(3, 1);
    let address = Some([192, 0, 2, 1].into());
    let (first, second) = (seat(&room).await, seat(&room).await);
    assert!(room.belongs_to(&first, address));
    assert!(room.belongs_to(&second, address), "there is room");
    let third = seat(&room).await;
    assert!(!room.belongs_to(&third, address));
    drop((first, second, third));
    assert!(lock(&room.present).addresses.is_empty());
}

#[tokio::test]
async fn newcomers_that_may_be_beyond_a_share_go_before_those_within_theirs() {
    let room = Room::new(LEAVING_AT_ONCE + 1, 2);
    let within = seat_of(&room, 1).await;
    std::thread::sleep(UNDISTURBED);
    let mut newcomers = Vec::new();
    for _ in 0..LEAVING_AT_ONCE {
        let newcomer = seat(&room).await;
        newcomer.will_be_named();
        newcomers.push(newcomer);
    }
    room.make_room(None);
    assert_eq!(must_leave(&within), None);
    // All of them are of one address, which keeps two.
    let address = Some([192, 0, 2, 2].into());
    let stay: Vec<_> = newcomers
        .iter()
        .map(|newcomer| room.belongs_to(newcomer, address))
        .collect();
    assert_eq!(stay.iter().filter(|stays| **stays).count(), 2);
    newcomers.truncate(2);
    // Those that are of many addresses have to be taken for what they are.
    let mut named = Vec::new();
    for number in 0..LEAVING_AT_ONCE - 2 {
        let newcomer = seat(&room).await;
        newcomer.will_be_named();
        let address = [198, 51, 100, u8::try_from(number).unwrap()];
        assert!(room.belongs_to(&newcomer, Some(address.into())));
        named.push(newcomer);
    }
    room.make_room(None);
    assert_eq!(must_leave(&within), Some(Leaving::AtOnce));
}

#[tokio::test]
async fn answers_that_are_not_taken_keep_no_place_beyond_a_share() {
    let room = Room::new(2, 1);
    let (first, second) = (seat_of(&room, 1).await, seat_of(&room, 1).await);
    let _requests = (first.activity().begin(), second.activity().begin());
    let _answers = (
        first.activity().stall(),
        second.activity().wait_for_client(),
    );
    room.make_room(None);
    assert_eq!((must_leave(&first), must_leave(&second)), (None, None));
    std::thread::sleep(UNDISTURBED);
    // Another request is no sign of life.
    let _another = (
        second.activity().begin(),
        second.activity().wait_for_client(),
    );
    room.make_room(None);
    let leaving = [must_leave(&first), must_leave(&second)];
    assert_eq!(leaving, [Some(Leaving::AtOnce), None]);
}

#[tokio::test]
async fn whoever_can_be_told_is_told_and_finishes_what_was_asked() {
    let room = Room::new(1, 0);
    let seat = seat(&room).await;
    seat.takes_leave();
    std::thread::sleep(UNDISTURBED);
    room.make_room(None);
    assert_eq!(seat.dismissed().await, Leaving::Politely);
    let running = seat.activity().begin();
    assert!(running.is_some());
    let quiet = seat.quiet();
    tokio::pin!(quiet);
    let early = tokio::time::timeout(Duration::from_millis(50), quiet.as_mut()).await;
    assert!(early.is_err());
    drop(running);
    quiet.await;
}
