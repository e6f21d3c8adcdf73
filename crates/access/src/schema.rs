//! The schema that every policy is checked against, written from the table of actions.

use std::fmt::Write as _;

use cedar_policy::Schema;

use crate::action::{Action, Level};

/// The schema in Cedar's own language, for `sealgate policy schema` and for editors that check policies.
pub fn schema_text() -> String {
    let mut text = String::from(HEAD);
    for action in Action::all() {
        let (resource, context) = match action.level() {
            Level::Service => ("Service", "Circumstances"),
            Level::Bucket => ("Bucket", "Circumstances"),
            Level::Listing => ("Bucket", "Listing"),
            Level::Object => ("Object", "Circumstances"),
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "action \"{action}\" appliesTo {{ principal: [Identity, Anonymous], resource: [{resource}], context: {context} }};"
        );
    }
    text
}

/// What there is beside actions. Circumstances are those of a request; a listing has a prefix too, empty where the client names none.
const HEAD: &str = r"entity Group;
entity Identity in [Group];
entity Anonymous;
entity Service;
entity Bucket { bucket: String };
entity Object in [Bucket] { bucket: String, key: String };
type Session = { name: String, source: String, issued: datetime };
type Circumstances = {
    source: ipaddr,
    time: datetime,
    weekday: Long,
    tls: Bool,
    certificates: Set<String>,
    grant?: String,
    session?: Session,
};
type Listing = {
    source: ipaddr,
    time: datetime,
    weekday: Long,
    tls: Bool,
    certificates: Set<String>,
    grant?: String,
    session?: Session,
    prefix: String,
};
";

/// The schema, parsed.
pub(crate) fn schema() -> Result<Schema, String> {
    Schema::from_cedarschema_str(&schema_text())
        .map(|(schema, _)| schema)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_knows_every_action() {
        let schema = schema().unwrap();
        assert_eq!(schema.actions().count(), Action::all().count());
    }
}
