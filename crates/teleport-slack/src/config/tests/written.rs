//! How a file is written: marks and line ends of other systems, what is there twice, and addresses of the proxy.

use super::*;

#[test]
fn a_byte_order_mark_and_carriage_returns_change_nothing() {
    let plain = with("[role_to_recipients]\ndba = [\"a\", \"b\"]\n");
    let windows = format!("\u{feff}{}", plain.replace('\n', "\r\n"));
    assert_eq!(config(&windows), config(&plain));
    let line = mistakes(&windows.replace("addr", "adr"));
    assert!(line.contains("/etc/slack.toml:2: teleport.adr: there is no such key"), "{line}");
}

#[test]
fn what_is_written_twice_is_named_with_both_lines() {
    for (text, second, first) in [
        ("[slack]\ntoken = 1\n\ntoken = 2\n", 4, 2),
        ("[slack]\n# token = 0\n token  = 1\ntoken = 2\n", 4, 3),
        ("[log]\n[slack]\n[log] # again\n", 3, 1),
        // The `token` of another table is another one.
        ("[a]\ntoken = 1\n[slack]\ntoken = 1\ntoken = 2\n", 5, 4),
    ] {
        let shown = mistakes(text);
        assert!(shown.contains(&format!("/etc/slack.toml:{second}: not valid TOML")), "{shown}");
        assert!(shown.contains(&format!("the same key or table is in line {first}; keep one")), "{shown}");
    }
    // Where the two are written in different ways, at least that is said.
    let shown = mistakes("slack.token = 1\n[slack]\n");
    assert!(shown.contains("the same key or table is written twice"), "{shown}");
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
fn the_ports_of_a_proxy_are_warned_of() {
    for (addr, port) in
        [("teleport.corp.net:443", Some(443)), ("teleport.corp.net:3080", Some(3080)), ("a:3025", None)]
    {
        let text = with("").replace("addr = \"a\"", &format!("addr = \"{addr}\""));
        let expected = port.map_or_else(String::new, |port| {
            format!(
                "2 teleport.addr: port {port} is usually the proxy's, and connections through the proxy are not supported; \
                 write the address of the auth server, whose port is usually 3025"
            )
        });
        assert_eq!(warnings(&text), expected);
    }
}
