//! The register of what an encrypting S3 proxy must do on the wire (`rules.txt`): each clause of each rule names tests, and they exist.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a register that cannot be read is a failure of the test"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// How many rules there are, numbered from 1.
const RULES: usize = 27;

const REGISTER: &str = include_str!("rules.txt");

/// Where tests live, seen from the repository.
const PLACES: [&str; 7] = [
    "crates/envelope/src",
    "crates/envelope/tests",
    "crates/proxy/src",
    "crates/proxy/tests",
    "crates/devstore/tests",
    "tests/tests",
    "tests/conformance",
];

/// Functions that are tests, and cases of the conformance suite.
#[derive(Debug, Default)]
struct Tests {
    functions: BTreeSet<String>,
    /// The name, or its beginning where the rest is filled in for each of several.
    cases: BTreeSet<String>,
}

impl Tests {
    fn collect() -> Self {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut tests = Self::default();
        for place in PLACES {
            let mut sources = Vec::new();
            files(&repository.join(place), &mut sources);
            for source in sources {
                tests.read(&fs::read_to_string(source).unwrap());
            }
        }
        tests
    }

    /// Takes what a file declares. A function is a test if an attribute above it, with no other function between, says so.
    fn read(&mut self, text: &str) {
        let mut is_test = false;
        for line in text.lines().map(str::trim_start) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            }
            let function = line.strip_prefix("async ").unwrap_or(line);
            if let Some(rest) = function.strip_prefix("fn ") {
                let name = rest.split(['(', '<']).next().unwrap();
                if std::mem::take(&mut is_test) {
                    self.functions.insert(name.to_owned());
                }
            }
            let case = line.strip_prefix('@').and_then(|line| line.split_once('('));
            match case.map(|(_, argument)| argument.split('"').collect::<Vec<_>>()) {
                Some(parts) if parts.len() > 1 && parts[0].is_empty() => {
                    self.cases.insert(parts[1].to_owned());
                }
                Some(parts) if parts.len() > 1 && parts[0] == "f" => {
                    let start = parts[1].split('{').next().unwrap();
                    self.cases.insert(start.to_owned());
                }
                _ => {}
            }
        }
    }

    fn has(&self, name: &str) -> bool {
        match name.strip_suffix('*') {
            Some(start) => self.cases.iter().any(|case| {
                case.starts_with(start) || (case.ends_with(": ") && start.starts_with(&**case))
            }),
            None => self.functions.contains(name) || self.cases.contains(name),
        }
    }
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.extension().and_then(|kind| kind.to_str());
        if path.is_dir() {
            files(&path, found);
        } else if matches!(kind, Some("rs" | "py")) {
            found.push(path);
        }
    }
}

/// The clauses of the register with their tests, by rule.
fn register() -> BTreeMap<usize, Vec<(&'static str, Vec<&'static str>)>> {
    let mut rules: BTreeMap<usize, Vec<_>> = BTreeMap::new();
    for line in REGISTER.lines().filter(|line| !line.starts_with('#')) {
        let [rule, clause, tests] = line.split(" | ").collect::<Vec<_>>()[..] else {
            panic!("a line of the register has three columns: {line}");
        };
        let tests = tests.split(';').map(str::trim).collect();
        let clauses = rules.entry(rule.parse().unwrap()).or_default();
        clauses.push((clause, tests));
    }
    rules
}

#[test]
fn every_clause_of_every_rule_names_tests_that_exist() {
    let register = register();
    assert_eq!(
        register.keys().copied().collect::<Vec<_>>(),
        (1..=RULES).collect::<Vec<_>>()
    );
    let tests = Tests::collect();
    let mut missing = Vec::new();
    for (rule, clauses) in &register {
        for (clause, names) in clauses {
            for name in names.iter().filter(|name| !tests.has(name)) {
                missing.push(format!("{rule}, {clause} {name}"));
            }
        }
    }
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

#[test]
fn a_test_that_names_a_rule_is_about_one_that_there_is() {
    for test in &Tests::collect().functions {
        let number = test
            .strip_prefix("rule_")
            .and_then(|rest| rest.split_once('_'));
        if let Some((number, _)) = number {
            let number: usize = number.parse().unwrap();
            assert!((1..=RULES).contains(&number), "{test}");
        }
    }
}

#[test]
fn only_tests_are_found_and_no_function_that_merely_is_called_so() {
    let mut tests = Tests::default();
    tests.read(
        "fn rule_01_helper() {}\n#[tokio::test(flavor = \"multi_thread\")]\nasync fn real() {}\nfn other() {}\n\
         @case(\"a: case\")\n    @case(f\"b: {name} of\")\n",
    );
    assert!(tests.has("real") && tests.has("a: case") && tests.has("b: *"));
    for name in ["rule_01_helper", "other", "a: cas", "c: *"] {
        assert!(!tests.has(name), "{name}");
    }
}
