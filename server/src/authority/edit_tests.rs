use super::*;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use tempfile::TempDir;

const FILE: &str = r#"# The relay of the lab.
version = 1

[roles.operator]   # people
tier = 0
may = ["send", "list"]
allow = [{ to = "*", commands = ["*"] }]
[roles.agent]
tier = 9
may = ["execute"]

# ---- machines ----

# the first one
[[credentials]]
id = "web1"        # in the cellar
role = "agent"
cert = "pecking:web1"
names = ["web1"]

# the second one
[[credentials]]
id = "web2"
role = "agent"
cert = "pecking:web2"
"#;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("auth.toml");
    std::fs::write(&file, FILE).expect("a file");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).expect("a mode");
    (folder, file)
}

fn text(file: &Path) -> String {
    std::fs::read_to_string(file).expect("a text")
}

fn web3() -> NewCredential {
    NewCredential {
        id: "web3".into(),
        role: "agent".into(),
        names: vec!["web3".into()],
        ..NewCredential::default()
    }
}

#[test]
fn a_credential_is_added_behind_what_is_there_and_its_token_is_proof() {
    let (folder, file) = folder();
    let out = folder.path().join("web3.token");
    let new = NewCredential {
        from: vec!["10.0.0.0/8".into()],
        expires_in: Some(Duration::from_secs(3600)),
        connections: Some(1),
        replace: true,
        ..web3()
    };
    new.add_to(&file, Some(&out)).expect("it is right");
    let (changed, token) = (text(&file), text(&out));
    assert!(changed.starts_with(FILE), "{changed}");
    let token = token.trim_end();
    let key = key_id(token).expect("the form of a token");
    assert!(changed.contains(&format!(" # key id {key}\n")) && !changed.contains(&token[13..]));
    for (path, mode) in [(&file, 0o640), (&out, 0o600)] {
        assert_eq!(path.metadata().expect("it is there").mode() & 0o777, mode);
    }
    let rules = Rules::load(&file).expect("it is right");
    let number = rules.by_token.get(&TokenHash::of(token)).expect("its hash");
    let credential = &rules.credentials[*number];
    assert_eq!(
        (
            credential.id.as_str(),
            credential.connections,
            credential.replace
        ),
        ("web3", Some(1), true)
    );
    let left = credential
        .expires
        .and_then(|at| at.duration_since(wall_clock()).ok());
    assert!(left.is_some_and(|left| (3500..=3600).contains(&left.as_secs())));
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        2
    );
}

#[test]
fn what_cannot_be_added_changes_nothing() {
    let (folder, file) = folder();
    let there = folder.path().join("there");
    std::fs::write(&there, "").expect("a file");
    let free = folder.path().join("free");
    let nowhere = folder.path().join("no/token");
    let with = |change: fn(&mut NewCredential)| {
        let mut new = web3();
        change(&mut new);
        new
    };
    for (new, out, why) in [
        (
            with(|new| new.expires_in = Some(Duration::from_secs(4_000_000 * 86_400))),
            &free,
            "no date is 4000000 days from now; expected an end from 1970-01-01T00:00:00Z to 9999-12-31T23:59:59Z",
        ),
        (
            with(|new| new.expires_in = Some(Duration::from_secs(u64::MAX))),
            &free,
            "expected an end from 1970-01-01T00:00:00Z to 9999-12-31T23:59:59Z",
        ),
        (web3(), &there, "there exists already"),
        (web3(), &nowhere, "No such file"),
        (
            with(|new| new.role = "boss".into()),
            &free,
            "role: found \"boss\", expected one of these roles: operator, agent",
        ),
        (
            with(|new| new.id = "web1".into()),
            &free,
            "two credentials with this id",
        ),
        (
            with(|new| new.names = vec!["WEB1".into()]),
            &free,
            "names in common with those of \"web1\"",
        ),
        (
            with(|new| new.from = vec!["x".into()]),
            &free,
            "auth.toml stays as it was: credentials.web3: from: found \"x\"",
        ),
    ] {
        let error = new.add_to(&file, Some(out)).expect_err(why).to_string();
        assert!(error.contains(why), "{error}");
        assert_eq!(text(&file), FILE);
        assert!(!free.exists() && text(&there).is_empty());
    }
    let missing = folder.path().join("none.toml");
    for error in [
        web3().add_to(&missing, Some(&free)).map(drop),
        revoke(&missing, "web1").map(drop),
    ] {
        let error = error.expect_err("it is missing").to_string();
        assert!(error.contains("cannot be read: No such file"), "{error}");
    }
}

#[test]
fn a_revoked_credential_goes_with_its_own_comment_alone() {
    let (_folder, file) = folder();
    revoke(&file, "web1").expect("it is there");
    let changed = text(&file);
    assert!(
        !changed.contains("web1")
            && !changed.contains("cellar")
            && !changed.contains("the first one"),
        "{changed}"
    );
    for kept in [
        "# The relay",
        "# people",
        "# ---- machines ----",
        "# the second one",
        "web2",
    ] {
        assert!(changed.contains(kept), "{kept}: {changed}");
    }
    let error = revoke(&file, "web1").expect_err("it is gone").to_string();
    assert_eq!(error, "there is no credential \"web1\"; there are web2");
    revoke(&file, "web2").expect("it is there");
    assert!(
        Rules::load(&file)
            .expect("it is right")
            .credentials
            .is_empty()
    );
    // As every credential has gone, the next one is the first.
    let new = NewCredential {
        certificate: Some("pecking:web9".into()),
        ..web3()
    };
    new.add_to(&file, None).expect("it is right");
    assert!(text(&file).contains("cert = \"pecking:web9\""));
}

#[test]
fn a_revocation_says_which_credentials_give_the_name_from_now_on() {
    let (_folder, file) = folder();
    let entry = |id: &str, cert: &str, names: &str| {
        format!(
            "[[credentials]]\nid = \"{id}\"\nrole = \"agent\"\ncert = \"{cert}\"\nnames = {names}\n"
        )
    };
    let others = entry("any", "pecking:any", "[\"any\", \"*\"]")
        + &entry("fleet", "fleet:*", "[\"{1}\"]")
        + &entry("db", "pecking:db", "[\"db*\"]")
        + &entry("pair", "pecking:pair", "[\"p1\", \"p2*\"]");
    std::fs::write(&file, FILE.to_owned() + &others).expect("a file");
    for (id, warning) in [
        (
            "web1",
            Some("the name web1 can now be taken by: any (names \"*\"), fleet (names \"{1}\")"),
        ),
        (
            "pair",
            Some("the names p1, p2* can now be taken by: any (names \"*\"), fleet (names \"{1}\")"),
        ),
        // It gave no name.
        ("web2", None),
        ("fleet", None),
        ("any", None),
        // No other credential gives it.
        ("db", None),
    ] {
        let told = revoke(&file, id).expect("it is there");
        assert_eq!(told.as_deref(), warning, "{id}");
    }
}

#[test]
fn a_file_behind_a_link_is_changed_where_it_is() {
    let (folder, file) = folder();
    let link = folder.path().join("link.toml");
    symlink(&file, &link).expect("a link");
    revoke(&link, "web1").expect("it is there");
    assert!(link.is_symlink() && !text(&file).contains("web1"));
}

#[test]
fn a_file_that_others_could_have_written_or_that_is_none_is_not_taken() {
    let (folder, file) = folder();
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("a mode");
    };
    let refused = |path: &Path, why: &str| {
        for error in [Rules::load(path).map(drop), revoke(path, "web1").map(drop)] {
            let error = error.expect_err(why).to_string();
            assert!(
                error.contains(why) && error.contains("auth.toml"),
                "{error}"
            );
        }
    };
    mode(&file, 0o666);
    refused(&file, "chmod go-w");
    mode(&file, 0o600);
    mode(folder.path(), 0o777);
    refused(&file, "so that every user may write it");
    mode(folder.path(), 0o700);
    std::fs::write(&file, "#".repeat((4 << 20) + 1)).expect("a file");
    refused(&file, "has more than 4194304 bytes");
    std::fs::write(&file, &FILE[..FILE.len() - 5]).expect("a file");
    refused(&file, ":25:");
    std::fs::remove_file(&file).expect("it is there");
    refused(&file, "No such file");
    symlink(folder.path().join("nowhere"), &file).expect("a link");
    let error = Rules::load(&file)
        .expect_err("a link to nothing")
        .to_string();
    assert!(error.contains("No such file"), "{error}");
    std::fs::remove_file(&file).expect("it is there");
    std::fs::create_dir(&file).expect("a folder");
    refused(&file, "is no regular file");
}
