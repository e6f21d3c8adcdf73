use super::super::order::Progress;
use super::super::plan::{ChosenKey, KeyState, Plan, PlannedKey};
use super::*;

struct Place {
    directory: tempfile::TempDir,
    key: SigningKey,
    public: PublicKey,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (key, _) = SigningKey::open_or_create(&directory.path().join("key")).unwrap();
        let public = key.public().unwrap();
        Self {
            directory,
            key,
            public,
        }
    }

    fn orders(&self, deployment: &str) -> Orders {
        let path = self.directory.path();
        Orders::of(&path.join("orders"), &path.join("key"), deployment)
    }
}

fn order(domain: &str) -> Order {
    let at = Moment::from_milliseconds;
    Order::new("rig", domain, at(1_000), at(2_000), PathBuf::from("c.json")).unwrap()
}

#[test]
fn an_order_counts_only_as_it_was_signed_for_its_own_domain() {
    let place = Place::new();
    let (orders, key, public) = (place.orders("rig"), &place.key, &place.public);
    let _lock = orders.create(key, None).unwrap();
    for refused in [
        orders.lock().unwrap_err(),
        orders.create(key, None).unwrap_err(),
    ] {
        assert!(refused.to_string().contains("at work"), "{refused}");
    }
    assert_eq!(orders.load("acme/alice", public).unwrap(), None);
    let mut alice = order("acme/alice");
    orders.save(&mut alice, key).unwrap();
    let stored = Stored::Order(Box::new(alice));
    assert_eq!(orders.load("acme/alice", public).unwrap(), Some(stored));

    // Somebody brings it forward, means another domain, or signs it by himself.
    let file = orders.path("acme/alice");
    let signed = fs::read_to_string(&file).unwrap();
    // The signature comes first.
    let first = if signed.starts_with('A') { 'B' } else { 'A' };
    for altered in [
        signed.replace("1970-01-01T00:00:02Z", "1970-01-01T00:00:00Z"),
        signed.replace("acme/alice", "acme/bob"),
        format!("{first}{}", &signed[1..]),
        String::new(),
    ] {
        fs::write(&file, altered).unwrap();
        assert!(orders.load("acme/alice", public).is_err());
        assert!(orders.all(public).unwrap().iter().all(Result::is_err));
    }
    fs::write(&file, &signed).unwrap();
    let copy = orders.path("acme/bob");
    fs::copy(&file, &copy).unwrap();
    assert!(orders.load("acme/bob", public).is_err(), "a copy");
    let other = place.directory.path().join("other");
    let (other, _) = SigningKey::open_or_create(&other).unwrap();
    document::write_signed(&copy, &order("acme/bob"), &other).unwrap();
    assert!(orders.load("acme/bob", public).is_err(), "another key");
    fs::remove_file(&copy).unwrap();
    let elsewhere = place.orders("other");
    let loaded = elsewhere.load("acme/alice", public);
    assert!(loaded.is_err(), "another deployment");
    assert_eq!(orders.all(public).unwrap().len(), 1);
}

#[test]
fn who_only_looks_makes_no_directory_and_hears_that_there_is_none() {
    let place = Place::new();
    let orders = place.orders("rig");
    let refused = orders.lock().unwrap_err().to_string();
    assert!(refused.contains("no directory of orders"), "{refused}");
    // Some directory is none of orders.
    fs::create_dir(&orders.directory).unwrap();
    assert!(orders.lock().is_err() && !orders.exist());
    assert_eq!(fs::read_dir(&orders.directory).unwrap().count(), 0);
}

#[test]
fn an_order_that_ended_does_not_come_back_with_its_file() {
    for how in [
        Ending::TakenBack,
        Ending::GivenUp,
        Ending::CarriedOut,
        Ending::Replaced,
    ] {
        let place = Place::new();
        let (orders, key, public) = (place.orders("rig"), &place.key, &place.public);
        let _lock = orders.create(key, None).unwrap();
        let mut alice = order("acme/alice");
        orders.save(&mut alice, key).unwrap();
        let file = orders.path("acme/alice");
        let signed = fs::read(&file).unwrap();
        orders.end(&alice, how, key).unwrap();
        assert!(!file.exists() && orders.all(public).unwrap().is_empty());
        let carried_out = orders.carried_out("acme/alice", public).unwrap();
        assert_eq!(carried_out.is_some(), how == Ending::CarriedOut);
        assert_eq!(orders.carried_out("acme/bob", public).unwrap(), None);
        fs::write(&file, &signed).unwrap();
        let found = orders.load("acme/alice", public).unwrap();
        let Some(Stored::Ended(ended, _)) = found else {
            panic!("{how:?}: {found:?}");
        };
        assert_eq!((ended.how, ended.domain.as_str()), (how, "acme/alice"));
        // Another order for the same domain is another one.
        let mut again = order("acme/alice");
        orders.save(&mut again, key).unwrap();
        let stored = Stored::Order(Box::new(again));
        assert_eq!(orders.load("acme/alice", public).unwrap(), Some(stored));
    }
}

#[test]
fn without_the_list_of_ended_orders_none_is_carried_out() {
    let place = Place::new();
    let (orders, key, public) = (place.orders("rig"), &place.key, &place.public);
    let lock = orders.create(key, None).unwrap();
    orders.save(&mut order("acme/alice"), key).unwrap();
    drop(lock);
    fs::write(&orders.ended, "forged").unwrap();
    assert!(orders.load("acme/alice", public).is_err());
    fs::remove_file(&orders.ended).unwrap();
    // Nor is it made anew beside an order that may stand in it.
    drop(orders.create(key, None).unwrap());
    let refused = orders.load("acme/alice", public).unwrap_err().to_string();
    assert!(refused.contains("is missing"), "{refused}");
    assert!(orders.all(public).is_err());
}

fn begun(domain: &str) -> Order {
    let mut order = order(domain);
    let mut key = PlannedKey::new(ChosenKey {
        key_service: Some("one".to_owned()),
        key: "aws-kms 0000000000000001".parse().unwrap(),
        full_name: "arn:1".to_owned(),
        place: "AWS KMS in eu-1".to_owned(),
    });
    key.state = KeyState::Asked;
    order.progress.plan = Some(Plan {
        keys: vec![key],
        ..Plan::default()
    });
    order
}

#[test]
fn an_order_that_could_not_be_ended_is_not_begun() {
    let place = Place::new();
    let (orders, key, public) = (place.orders("rig"), &place.key, &place.public);
    let _lock = orders.create(key, None).unwrap();
    orders.save(&mut order("acme/alice"), key).unwrap();
    assert_eq!(orders.load("acme/bob", public).unwrap(), None);
    fs::remove_file(&orders.ended).unwrap();
    let refused = orders.load("acme/bob", public).unwrap_err().to_string();
    assert!(refused.contains("--new-ended-list"), "{refused}");
}

#[test]
fn when_the_list_was_lost_what_is_begun_needs_a_person_and_what_waits_is_taken_back() {
    let place = Place::new();
    let (orders, key, public) = (place.orders("rig"), &place.key, &place.public);
    let _lock = orders.create(key, None).unwrap();
    let (mut waiting, mut going) = (order("acme/alice"), begun("acme/bob"));
    orders.save(&mut waiting, key).unwrap();
    orders.save(&mut going, key).unwrap();
    let refused = orders.begin_again(key).unwrap_err().to_string();
    assert!(refused.contains("there is a list"), "{refused}");
    fs::remove_file(&orders.ended).unwrap();
    orders.begin_again(key).unwrap();
    let found = orders.load("acme/alice", public).unwrap();
    assert!(matches!(found, Some(Stored::Ended(..))), "{found:?}");
    assert!(cause(&orders, "acme/bob", public).contains("was lost"));
    orders.end(&going, Ending::CarriedOut, key).unwrap();
    // One that is given now is of the new list.
    let mut late = order("acme/alice");
    late.ordered = Moment::now().after(std::time::Duration::from_secs(5));
    orders.save(&mut late, key).unwrap();
    let stored = Stored::Order(Box::new(late));
    assert_eq!(orders.load("acme/alice", public).unwrap(), Some(stored));
}

#[test]
fn an_order_takes_the_place_of_another_one_without_a_gap() {
    let place = Place::new();
    let (orders, key, public) = (place.orders("rig"), &place.key, &place.public);
    let _lock = orders.create(key, None).unwrap();
    let (mut first, mut second) = (order("acme/alice"), order("acme/alice"));
    orders.save(&mut first, key).unwrap();
    let file = orders.path("acme/alice");
    let earlier = fs::read(&file).unwrap();
    orders.replace(&first, &mut second, key).unwrap();
    let stored = Stored::Order(Box::new(second));
    assert_eq!(orders.load("acme/alice", public).unwrap(), Some(stored));
    fs::write(&file, earlier).unwrap();
    let found = orders.load("acme/alice", public).unwrap();
    assert!(matches!(found, Some(Stored::Ended(..))), "{found:?}");
}

#[test]
fn a_list_that_was_lost_while_no_order_waited_brings_none_back() {
    let place = Place::new();
    let (orders, key, public) = (place.orders("rig"), &place.key, &place.public);
    let lock = orders.create(key, None).unwrap();
    let mut earlier = order("acme/alice");
    orders.save(&mut earlier, key).unwrap();
    let backup = fs::read(orders.path("acme/alice")).unwrap();
    orders.end(&earlier, Ending::TakenBack, key).unwrap();
    drop(lock);
    // The signing key comes from its vault, without the list; somebody gives another order, and restores the directory.
    fs::remove_file(&orders.ended).unwrap();
    let mut given = order("acme/bob");
    given.ordered = Moment::now();
    let since = given.ordered.a_second_before();
    let _lock = orders.create(key, Some(since)).unwrap();
    orders.save(&mut given, key).unwrap();
    fs::write(orders.path("acme/alice"), backup).unwrap();
    let found = orders.load("acme/alice", public).unwrap();
    assert!(matches!(found, Some(Stored::Ended(..))), "{found:?}");
    let stored = Stored::Order(Box::new(given));
    assert_eq!(orders.load("acme/bob", public).unwrap(), Some(stored));
    // One that was begun may be half carried out, or given up.
    let carol = orders.path("acme/carol");
    document::write_signed(&carol, &begun("acme/carol"), key).unwrap();
    assert!(cause(&orders, "acme/carol", public).contains("was lost"));
}

/// Why the order for a domain needs a person; empty where it does not.
fn cause(orders: &Orders, domain: &str, public: &PublicKey) -> String {
    match orders.load(domain, public).unwrap() {
        Some(Stored::Order(order)) => order.progress.needs_confirmation.unwrap_or_default(),
        found => panic!("{found:?}"),
    }
}

#[test]
fn an_older_file_of_an_order_needs_a_person_and_so_does_one_of_an_earlier_version() {
    let place = Place::new();
    let (orders, key, public) = (place.orders("rig"), &place.key, &place.public);
    let _lock = orders.create(key, None).unwrap();
    let mut alice = order("acme/alice");
    let chosen = &begun("acme/alice").progress.plan.unwrap().keys[0].chosen;
    alice.keys = vec![chosen.clone()];
    orders.save(&mut alice, key).unwrap();
    let file = orders.path("acme/alice");
    let backup = fs::read(&file).unwrap();
    alice.progress = Progress {
        revision: alice.progress.revision,
        ..begun("acme/alice").progress
    };
    orders.save(&mut alice, key).unwrap();
    assert_eq!(cause(&orders, "acme/alice", public), "");
    fs::write(&file, &backup).unwrap();
    assert!(cause(&orders, "acme/alice", public).contains("restored"));
    let Some(Stored::Order(mut restored)) = orders.load("acme/alice", public).unwrap() else {
        panic!("no order");
    };
    assert!(restored.is_begun(), "it may have been asked for");
    // Whatever becomes of it, the file counts no more.
    for _ in 0..2 {
        orders.save(&mut restored, key).unwrap();
        fs::write(&file, &backup).unwrap();
        assert!(cause(&orders, "acme/alice", public).contains("restored"));
    }
    let earlier = orders.path("acme/dave");
    document::write_signed(&earlier, &begun("acme/dave"), key).unwrap();
    assert_eq!(
        cause(&orders, "acme/dave", public),
        super::order::EARLIER_VERSION
    );
}
