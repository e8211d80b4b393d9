//! What a published crate's manifest has to say, so that the registry accepts it and a user finds it.

use serde_json::Value;

use crate::workspace::{self, Package};

/// The registry's limits.
const KEYWORDS_MAX: usize = 5;
const KEYWORD_CHARS_MAX: usize = 20;

/// Those of the registry's categories that crates of this kind can be in; it drops unknown ones silently.
const CATEGORIES: [&str; 16] = [
    "algorithms",
    "asynchronous",
    "caching",
    "concurrency",
    "data-structures",
    "database",
    "database-implementations",
    "development-tools",
    "development-tools::debugging",
    "development-tools::testing",
    "filesystem",
    "memory-management",
    "os",
    "os::unix-apis",
    "rust-patterns",
    "simulation",
];

pub(super) fn check(package: &Package) -> Result<String, String> {
    let findings = findings(workspace::manifest(&package.name));
    if findings.is_empty() { Ok(String::new()) } else { Err(findings.join("\n")) }
}

/// That the description is the README's first line is a house rule: `cargo xtask tidy` holds it.
fn findings(manifest: &Value) -> Vec<String> {
    let mut findings = Vec::new();
    for key in ["description", "license", "readme", "rust_version"] {
        if manifest[key].as_str().is_none_or(str::is_empty) {
            findings.push(format!("the manifest has no {key}"));
        }
    }
    let keywords = strings(&manifest["keywords"]);
    if keywords.is_empty() || keywords.len() > KEYWORDS_MAX {
        findings.push(format!("{} keywords; the registry takes 1 to {KEYWORDS_MAX}", keywords.len()));
    }
    for keyword in keywords.iter().filter(|keyword| !is_keyword(keyword)) {
        findings.push(format!(
            "{keyword:?} is no keyword; at most {KEYWORD_CHARS_MAX} letters, digits and -_+, a letter or digit first"
        ));
    }
    let categories = strings(&manifest["categories"]);
    if categories.is_empty() || categories.len() > KEYWORDS_MAX {
        findings.push(format!("{} categories; the registry takes 1 to {KEYWORDS_MAX}", categories.len()));
    }
    for category in categories.iter().filter(|category| !CATEGORIES.contains(category)) {
        findings.push(format!("the category {category} is not listed in xtask/src/package/manifest.rs"));
    }
    let docs = &manifest["metadata"]["docs"]["rs"];
    let documented = strings(&docs["features"]);
    let features = manifest["features"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    // A feature that begins with an underscore is for the project's own checks.
    for feature in features.filter(|name| *name != "default" && !name.starts_with('_')) {
        if docs["all-features"] != true && !documented.contains(&feature) {
            findings
                .push(format!("package.metadata.docs.rs.features lacks {feature}: its documentation would be missing"));
        }
    }
    findings
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn is_keyword(word: &str) -> bool {
    word.len() <= KEYWORD_CHARS_MAX
        && word.starts_with(|c: char| c.is_ascii_alphanumeric())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_+".contains(c))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complete() -> Value {
        json!({
            "description": "A queue.", "license": "MIT", "readme": "README.md", "rust_version": "1.88",
            "keywords": ["queue"], "categories": ["concurrency"],
            "features": { "default": [], "spans": [], "_checker": [] },
            "metadata": { "docs": { "rs": { "features": ["spans"] } } },
        })
    }

    #[test]
    fn a_complete_manifest_is_accepted() {
        assert_eq!(findings(&complete()), [""; 0]);
    }

    #[test]
    fn each_gap_is_rejected() {
        for key in ["description", "license", "readme", "rust_version", "keywords", "categories", "metadata"] {
            let mut manifest = complete();
            manifest[key] = Value::Null;
            assert_eq!(findings(&manifest).len(), 1, "{key}");
        }
    }

    #[test]
    fn what_the_registry_would_refuse_is_rejected() {
        for (key, value) in [
            ("keywords", json!(["a", "b", "c", "d", "e", "f"])),
            ("keywords", json!(["two words"])),
            ("keywords", json!(["a-keyword-of-many-letters"])),
            ("keywords", json!(["-x"])),
            ("categories", json!(["no-such-category"])),
        ] {
            let mut manifest = complete();
            manifest[key] = value.clone();
            assert_eq!(findings(&manifest).len(), 1, "{value}");
        }
    }
}
