use super::super::test_configuration::config;
use super::*;

const TABLES: &str = "{ buckets = [\"data\"], name = \"alice\", key_services = [\"one\"] }";

fn plan(service: &str, place: &str) -> Plan {
    Plan {
        keys: vec![PlannedKey::new(ChosenKey {
            key_service: Some(service.to_owned()),
            key: "aws-kms 0000000000000001".parse().unwrap(),
            full_name: "arn:1".to_owned(),
            place: place.to_owned(),
        })],
        ..Plan::default()
    }
}

#[test]
fn what_is_not_found_at_another_place_need_not_be_gone() {
    let config = config(TABLES, "");
    let place = place_of(&config.key_services[0]);
    plan("one", &place).check_places(&config).unwrap();
    let refused = plan("one", "AWS KMS in eu-2").check_places(&config);
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("AWS KMS in eu-2") && refused.contains(&place),
        "{refused}"
    );
    let refused = plan("renamed", &place).check_places(&config).unwrap_err();
    assert!(
        refused.to_string().contains("no [[key_service]]"),
        "{refused}"
    );
}

#[test]
fn keys_of_one_name_at_two_places_are_told_apart() {
    let vault = |name: &str, endpoint: &str, namespace: &str| {
        format!(
            "[[key_service]]\nname = \"{name}\"\ntype = \"vault-transit\"\nendpoint = \"{endpoint}\"\nkey = \"k\"\n\
             {namespace}\nlogin = {{ method = \"token\", token = \"env:TOKEN\" }}\n"
        )
    };
    let services = vault("old", "https://old.example.com", "")
        + &vault("new", "https://new.example.com", "")
        + &vault("inner", "https://new.example.com", "namespace = \"n\"");
    let config = config(TABLES, &services);
    let mut places: Vec<_> = config.key_services.iter().map(place_of).collect();
    let vaults = places.split_off(4);
    assert_eq!(vaults.len(), 3);
    for (number, place) in vaults.iter().enumerate() {
        assert!(!vaults[..number].contains(place), "{place} twice");
    }
    assert!(vaults[0].contains("old.example.com"), "{}", vaults[0]);
}
