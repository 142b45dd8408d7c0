//! How a file is written: marks and line ends of other systems, what is there twice, and addresses of the proxy.

use super::*;

#[test]
fn a_byte_order_mark_and_carriage_returns_change_nothing() {
    let plain = with("[role_to_recipients]\ndba = [\"a\", \"b\"]\n");
    let windows = format!("\u{feff}{}", plain.replace('\n', "\r\n"));
    assert_eq!(config(&windows), config(&plain));
    let line = mistakes(&windows.replace("addr", "adr"));
    assert!(line.contains("/etc/slack.toml:2: teleport.adr: there is no such key"), "{line}");
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "\u{feff}xoxb-1\r\n").unwrap();
    let path = dir.path().join("c.toml");
    std::fs::write(&path, with("").replace("xoxb-1", token.to_str().unwrap())).unwrap();
    assert_eq!(load(&path).unwrap().config.slack.token.expose(), "xoxb-1");
    assert_eq!(
        crate::config::token::reread(crate::config::token::TokenKind::Bot, &token).unwrap().expose(),
        "xoxb-1"
    );
}

#[test]
fn what_is_written_twice_is_named_with_both_lines() {
    for (text, second, first) in [
        ("[slack]\ntoken = 1\n\ntoken = 2\n", 4, 2),
        ("[slack]\n# token = 0\n token  = 1\ntoken = 2\n", 4, 3),
        ("[log]\n[slack]\n[log] # again\n", 3, 1),
        // The `token` of another table is another one.
        ("[a]\ntoken = 1\n[slack]\ntoken = 1\ntoken = 2\n", 5, 4),
        // However it is written.
        ("[role_to_recipients]\ndba = 1\nx = 1\n\"dba\" = 2\n", 4, 2),
        ("[role_to_recipients]\n'dba' = 1\n\"dba\" = 2\n", 3, 2),
        ("slack.token = 1\n[slack]\n", 2, 1),
        ("[slack]\ntoken = 1\n[log]\n[ \"slack\" ]\n", 4, 1),
        ("\u{feff}[slack]\r\n[slack]\r\n", 2, 1),
        // The `roles` of another rule is another one.
        ("[[review.rule]]\nroles = 1\n[[review.rule]]\nroles = 1\nroles = 2\n", 5, 4),
    ] {
        let shown = mistakes(text);
        assert!(shown.contains(&format!("/etc/slack.toml:{second}: not valid TOML")), "{shown}");
        let is_key = shown.contains(&format!("the same key is in line {first}; keep one"));
        let is_table =
            shown.contains(&format!("the same table begins in line {first}; write all its keys below one"));
        assert!(is_key || is_table, "{shown}");
    }
    // A table that is there twice, and so a key of it.
    let shown = mistakes("[slack]\ntoken = 1\n[slack]\ntoken = 2\n");
    assert!(
        shown.contains("begins in line 1; write all") && shown.contains("is in line 2; keep one"),
        "{shown}"
    );
    // Below its own header.
    let shown = mistakes(&with("slack.recipients = [\"ops\"]\n"));
    assert!(shown.contains("under [slack], write its keys without `slack.`"), "{shown}");
    // Old and new name of one setting.
    let shown = mistakes(
        "[teleport]\naddr = \"a\"\nauth_server = \"b\"\nidentity = \"id\"\n[slack]\ntoken = \"xoxb-1\"\n",
    );
    assert!(
        shown.contains(":3: teleport.auth_server: the same setting is in line 2 as `teleport.addr`"),
        "{shown}"
    );
}

#[test]
fn the_ports_of_a_proxy_are_as_good_as_any() {
    for addr in ["teleport.corp.net:443", "teleport.corp.net:3080", "a:3025"] {
        let text = with("").replace("addr = \"a\"", &format!("addr = \"{addr}\""));
        assert_eq!(warnings(&text), "");
    }
}

#[test]
fn a_control_character_is_named_with_its_line_and_column() {
    let message = |text: &str| {
        let Err(ConfigError::Invalid { findings, .. }) = parsed(text) else { panic!("it loaded: {text:?}") };
        findings.as_slice().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    const DELETE: &str = "delete this character, or type the line again";
    for (end, line, what) in [
        ("a\0b = 1\n", 7, "column 2: U+0000, a control character"),
        ("# a comment \u{7}\n", 7, "column 13: U+0007, a control character"),
        ("[log]\noutput = \"a\u{1b}b\"\n", 8, "column 12: U+001B, a control character"),
        ("\u{7f}", 7, "column 1: U+007F, a control character"),
        ("[log]\rseverity = 1\n", 7, "column 6: U+000D, a line break"),
    ] {
        assert_eq!(message(&with(end)), format!("line {line}: {what}; {DELETE}"));
        // As Windows ends lines.
        let windows = with(end).replace('\n', "\r\n");
        assert_eq!(message(&windows), format!("line {line}: {what}; {DELETE}"));
    }
    let two = message(&with("\0\n\0\0\n"));
    assert_eq!(two.lines().count(), 2, "each line once: {two}");
    let utf_16: String = with("").chars().flat_map(|c| [c, '\0']).collect();
    assert_eq!(message(&utf_16), "line 1: this is UTF-16 text; save the file as UTF-8");
    let old_mac = with("").replace('\n', "\r");
    assert!(
        message(&old_mac).starts_with("line 1: its lines end with U+000D alone"),
        "{}",
        message(&old_mac)
    );
}

#[test]
fn what_looks_like_a_space_or_is_invisible_is_named_outside_of_quotes() {
    for (line, column, what) in [
        ("\u{a0}\u{a0}severity = \"INFO\"", 1, "U+00A0, which looks like a space"),
        ("severity =\u{a0}\"INFO\"", 11, "U+00A0, which looks like a space"),
        ("sever\u{200b}ity = \"INFO\"", 6, "U+200B, an invisible character"),
        ("severity = \"INFO\"\u{feff}", 18, "U+FEFF, an invisible character"),
        ("severity = \u{202f}true", 12, "U+202F, which looks like a space"),
        ("\u{3000}severity = \"INFO\"", 1, "U+3000, which looks like a space"),
        ("severity\u{2060} = \"INFO\" x", 9, "U+2060, an invisible character"),
    ] {
        assert_eq!(
            mistake(&with(&format!("[log]\n{line}\n"))),
            format!(
                "8: not valid TOML, column {column}: {what}, stands outside of quotes; delete this character, or type a space \
                 in its place"
            )
        );
    }
}

#[test]
fn another_encoding_is_named_with_the_place_that_shows_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.toml");
    let message = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let error = load(&path).unwrap_err();
        assert_eq!(ExitError::from(load(&path).unwrap_err()).exit(), Exit::Configuration);
        error.to_string().split_once("is not UTF-8 text: ").unwrap().1.to_owned()
    };
    let latin_1: Vec<u8> = with("# für Zoë\n").chars().map(|c| u8::try_from(c).unwrap()).collect();
    assert_eq!(message(&latin_1), "there is the byte 0xFC in line 7, column 4; save the file as UTF-8");
    let mut half = with("# é: ").into_bytes();
    half.extend(b"\xc3\n");
    assert_eq!(message(&half), "there is the byte 0xC3 in line 7, column 6; save the file as UTF-8");
    for (mark, swap) in [([0xff, 0xfe], false), ([0xfe, 0xff], true)] {
        let units = with("")
            .encode_utf16()
            .flat_map(|unit| if swap { unit.to_be_bytes() } else { unit.to_le_bytes() })
            .collect::<Vec<_>>();
        assert_eq!(message(&[&mark[..], &units].concat()), "this is UTF-16 text; save the file as UTF-8");
    }
}

#[test]
fn a_file_of_another_kind_is_named() {
    let remedies = |text: &str| {
        let Err(ConfigError::Invalid { findings, .. }) = parsed(text) else { panic!("it loaded: {text:?}") };
        let lines: Vec<_> = findings.as_slice().iter().map(|finding| finding.line).collect();
        assert!(lines.windows(2).all(|pair| pair.first() != pair.last()), "each line once: {findings:?}");
        findings.as_slice().iter().map(|finding| finding.remedy.clone()).collect::<Vec<_>>()
    };
    for (text, words) in [
        ("teleport:\n  addr: a\nslack:\n  token: \"xoxb-1\"\n", "write = in place of the colon"),
        ("{\"teleport\": {\"addr\": \"a\"}}\n", "this looks like JSON"),
        ("<!DOCTYPE html><html></html>\n", "this is a web page"),
        ("; a comment\n[slack]\n", "start a comment with #"),
        ("// a comment\n[slack]\n", "start a comment with #"),
        ("[role_to_recipients]\nprod-* = \"a\"\n", "put the key in double quotes"),
        ("[role_to_recipients]\nprod db = \"a\"\n", "put the key in double quotes"),
        ("[role_to_recipients]\nbob@example.com = \"a\"\n", "put the key in double quotes"),
    ] {
        assert!(
            remedies(text).iter().all(|remedy| remedy.starts_with(words)),
            "{text}: {:?}",
            remedies(text)
        );
    }
    let conflict = with("<<<<<<< HEAD\n[log]\n=======\n[http]\n>>>>>>> other\n");
    assert_eq!(remedies(&conflict).len(), 3, "{:?}", remedies(&conflict));
    assert!(
        remedies(&conflict).iter().all(|remedy| remedy.starts_with("this is the mark of a merge conflict"))
    );
    let twice = format!("\u{feff}{}", with("").replace("[teleport]", "\u{feff}[teleport]"));
    assert!(
        mistakes(&twice).contains("1: not valid TOML, column 2: U+FEFF, an invisible character"),
        "{}",
        mistakes(&twice)
    );
}

#[test]
fn a_mistake_in_the_recipients_is_not_called_a_lack_of_them() {
    let examined = |text: &str| {
        let source = Source {
            read_certificates: &source::read_certificates,
            environment: &|_| None,
            path: Path::new("/etc/slack.toml"),
            permissions: None,
            read: &token_files,
            without_secrets: false,
            look_at: &|_| None,
            look_at_folders: &|_, _| Vec::new(),
        };
        validate::examine(text, &source)
    };
    for recipients in ["[\"Ops\"]", "{ a = 1 }", "[[\"ops\"]]"] {
        let found = examined(&with("").replace("[\"team\"]", recipients));
        assert_eq!((found.errors.as_slice().len(), found.warnings.len()), (1, 0), "{recipients}: {found:?}");
    }
    let warned = examined(&with("").replace("[\"team\"]", "[]")).warnings;
    assert!(warned.iter().any(|warning| warning.cause.starts_with("there are no recipients")), "{warned:?}");
}

#[test]
fn for_the_address_of_a_web_page_the_remedy_is_host_and_port_of_the_proxy() {
    for (addr, remedy) in [
        ("https://teleport.corp.net", "write the same as host and port: \"teleport.corp.net:443\""),
        ("https://teleport.corp.net:3080/web", "write the same as host and port: \"teleport.corp.net:3080\""),
        ("https://[2001:db8::1]/", "write the same as host and port: \"[2001:db8::1]:443\""),
        ("http://teleport.corp.net", "write host:port, such as"),
    ] {
        let shown = mistake(&with("").replace("addr = \"a\"", &format!("addr = \"{addr}\"")));
        assert!(shown.contains(remedy), "{shown}");
    }
}
