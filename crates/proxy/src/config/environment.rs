//! One access key from the environment, for containers: `SEALGATE_ACCESS_KEY_ID` and `SEALGATE_SECRET_ACCESS_KEY`, or the same with `_FILE` and the
//! path of a file, as images of databases have it. `SEALGATE_IDENTITY` names the identity.

use super::identity::{self, ClientCredential};
use super::problem::Noted;
use super::secret::{Secret, Surroundings};
use super::table::Table;

const IDENTITY: &str = "SEALGATE_IDENTITY";
const ACCESS_KEY_ID: &str = "SEALGATE_ACCESS_KEY_ID";
const SECRET_ACCESS_KEY: &str = "SEALGATE_SECRET_ACCESS_KEY";

/// What the identity is called where nobody says.
const USUAL_IDENTITY: &str = "environment";

/// The key of the files, for whoever follows them: they change with the identities.
const KEY: &str = "identity";

/// An access key, and whose it is.
pub(super) struct EnvironmentCredential {
    pub(super) identity: String,
    pub(super) credential: ClientCredential,
}

/// Reads it, if the environment has one.
pub(super) fn read(
    root: &Table<'_>,
    surroundings: Surroundings<'_>,
) -> Result<Option<EnvironmentCredential>, Noted> {
    let access_key_id = variable(root, surroundings, ACCESS_KEY_ID)?;
    let secret = variable(root, surroundings, SECRET_ACCESS_KEY)?;
    let (access_key_id, secret) = match (access_key_id, secret) {
        (None, None) => return Ok(None),
        (Some(id), Some(secret)) => (id, secret),
        (Some(_), None) => return Err(lacks(root, ACCESS_KEY_ID, SECRET_ACCESS_KEY)),
        (None, Some(_)) => return Err(lacks(root, SECRET_ACCESS_KEY, ACCESS_KEY_ID)),
    };
    let identity = (surroundings.environment)(IDENTITY)
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| USUAL_IDENTITY.to_owned());
    let fault = identity::name_fault(&identity)
        .map(|fault| (IDENTITY, fault))
        .or_else(|| {
            identity::access_key_id_fault(access_key_id.expose())
                .map(|fault| (ACCESS_KEY_ID, fault))
        })
        .or_else(|| identity::secret_fault(&secret).map(|fault| (SECRET_ACCESS_KEY, fault)));
    if let Some((name, (message, fix))) = fault {
        return Err(noted(
            root,
            format!("{name} in the environment {message}"),
            fix,
        ));
    }
    Ok(Some(EnvironmentCredential {
        identity,
        credential: ClientCredential {
            access_key_id: access_key_id.expose().to_owned(),
            secret_access_key: secret,
        },
    }))
}

fn noted(root: &Table<'_>, message: impl Into<String>, fix: impl Into<String>) -> Noted {
    root.problem::<()>(message, fix);
    Noted
}

fn lacks(root: &Table<'_>, has: &str, lacks: &str) -> Noted {
    noted(
        root,
        format!("the environment has {has} and no {lacks}"),
        format!("set {lacks} or {lacks}_FILE, or remove {has}"),
    )
}

/// What a variable holds, or the file that the one with `_FILE` names.
fn variable(
    root: &Table<'_>,
    surroundings: Surroundings<'_>,
    name: &str,
) -> Result<Option<Secret>, Noted> {
    let value = |name: &str| (surroundings.environment)(name).filter(|value| !value.is_empty());
    match (value(name), value(&format!("{name}_FILE"))) {
        (None, None) => Ok(None),
        (Some(value), None) => Ok(Some(Secret::new(value))),
        (None, Some(path)) => {
            let path = surroundings.path(&path);
            root.refers_to_secret(KEY, &path);
            match super::secret::read_secret(&path) {
                Ok(secret) => Ok(Some(secret)),
                Err(cause) => Err(noted(
                    root,
                    format!("{name}_FILE: {}: {cause}", path.display()),
                    "put it alone into that file, readable for this process, or name another one",
                )),
            }
        }
        (Some(_), Some(_)) => Err(noted(
            root,
            format!("the environment has both {name} and {name}_FILE"),
            "remove one of them",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::tests::GOOD;
    use super::super::*;

    fn parse(text: &str, directory: &Path, set: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let environment = |name: &str| match name {
            "UPSTREAM_SECRET" | "APP_SECRET" => Some("secret-of-the-tests".to_owned()),
            name => set
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned()),
        };
        Config::parse(
            text,
            Surroundings {
                directory,
                environment: &environment,
            },
        )
    }

    fn problem(set: &[(&str, &str)]) -> String {
        let error = parse(GOOD, Path::new("/nonexistent"), set).unwrap_err();
        assert_eq!(error.problems.len(), 1, "{error}");
        error.to_string()
    }

    #[test]
    fn the_environment_adds_an_identity_or_a_credential_to_one() {
        let pair = [
            ("SEALGATE_ACCESS_KEY_ID", "SGENV"),
            ("SEALGATE_SECRET_ACCESS_KEY", "secret-of-the-environment"),
        ];
        let config = parse(GOOD, Path::new("."), &pair).unwrap();
        let names: Vec<_> = config.identities.iter().map(|one| &*one.name).collect();
        assert_eq!(names, ["app", "environment"]);
        assert_eq!(config.identities[1].credentials[0].access_key_id, "SGENV");

        let own = [pair[0], pair[1], ("SEALGATE_IDENTITY", "app")];
        let config = parse(GOOD, Path::new("."), &own).unwrap();
        let ids = config.identities[0].credentials.iter();
        let ids: Vec<_> = ids.map(|one| &*one.access_key_id).collect();
        assert_eq!((config.identities.len(), ids), (1, vec!["app-1", "SGENV"]));

        // It is enough by itself.
        let alone = GOOD.split("[[identity]]").next().unwrap();
        let config = parse(alone, Path::new("."), &pair).unwrap();
        assert_eq!(config.identities.len(), 1);
        let error = parse(alone, Path::new("."), &[]).unwrap_err().to_string();
        assert!(error.contains("SEALGATE_ACCESS_KEY_ID"), "{error}");
    }

    #[test]
    fn files_are_named_by_variables_too_and_followed_as_the_identities_are() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("id"), "SGENV\n").unwrap();
        std::fs::write(directory.path().join("secret"), "secret-in-a-file\n").unwrap();
        let set = [
            ("SEALGATE_ACCESS_KEY_ID_FILE", "id"),
            ("SEALGATE_SECRET_ACCESS_KEY_FILE", "secret"),
        ];
        let config = parse(GOOD, directory.path(), &set).unwrap();
        let credential = &config.identities[1].credentials[0];
        assert_eq!(credential.access_key_id, "SGENV");
        assert_eq!(credential.secret_access_key.expose(), "secret-in-a-file");
        let followed = config.files.iter().filter(|file| is_live(&file.key));
        assert_eq!(followed.count(), 2, "{:?}", config.files);
    }

    #[test]
    fn what_is_half_there_or_unfit_is_refused_and_not_repeated() {
        let id = ("SEALGATE_ACCESS_KEY_ID", "SGENV");
        let secret = ("SEALGATE_SECRET_ACCESS_KEY", "hunter2hunter2");
        for (set, part) in [
            (vec![id], "SEALGATE_SECRET_ACCESS_KEY_FILE"),
            (vec![secret], "set SEALGATE_ACCESS_KEY_ID"),
            (
                vec![id, secret, ("SEALGATE_SECRET_ACCESS_KEY_FILE", "f")],
                "both",
            ),
            (
                vec![id, ("SEALGATE_SECRET_ACCESS_KEY_FILE", "no-such")],
                "no-such",
            ),
            (
                vec![id, ("SEALGATE_SECRET_ACCESS_KEY", "short")],
                "too short",
            ),
            (
                vec![id, secret, ("SEALGATE_IDENTITY", "a b")],
                "SEALGATE_IDENTITY",
            ),
            (
                vec![("SEALGATE_ACCESS_KEY_ID", "SGTAAAAAAAAAAAAAAAA"), secret],
                "session",
            ),
            (
                vec![("SEALGATE_ACCESS_KEY_ID", "app-1"), secret],
                "another credential",
            ),
        ] {
            let text = problem(&set);
            assert!(text.contains(part), "{part}: {text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
