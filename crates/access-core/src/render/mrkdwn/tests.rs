use super::*;

fn built(build: impl FnOnce(&mut Mrkdwn)) -> String {
    let mut text = Mrkdwn::default();
    build(&mut text);
    assert_eq!(text.units, utf16_len(&text.text));
    assert!(text.units <= 3_000);
    text.text
}

#[test]
fn only_three_characters_are_escaped() {
    assert_eq!(
        escape("<!channel> & <@U1> *b* _i_ \"q\" &amp;"),
        "&lt;!channel&gt; &amp; &lt;@U1&gt; *b* _i_ \"q\" &amp;amp;"
    );
}

#[test]
fn truncation_counts_the_escaped_text() {
    #[track_caller]
    fn assert_truncated(text: &str, max: usize, expected: &str) {
        assert_eq!(truncate_escaped(text, max), expected);
    }
    assert_truncated("abc", 3, "abc");
    assert_truncated("abcd", 3, "ab…");
    assert_truncated("ab cd", 4, "ab…");
    assert_truncated("abc", 1, "…");
    assert_truncated("abc", 0, "");
    assert_truncated("", 0, "");
    assert_truncated("a&b", 7, "a&amp;b");
    assert_truncated("a&bc", 7, "a&amp;…");
    assert_truncated("a&b", 6, "a…");
    assert_truncated("<<", 4, "…");
    assert_truncated("🔥🔥", 4, "🔥🔥");
    assert_truncated("🔥🔥", 3, "🔥…");
    assert_truncated("👨‍👩‍👧‍👦x", 11, "…");
    assert_truncated("👨‍👩‍👧‍👦x", 12, "👨‍👩‍👧‍👦x");
    assert_truncated("e\u{301}e\u{301}", 3, "e\u{301}…");
}

#[test]
fn foreign_text_starts_no_quote() {
    assert_eq!(built(|t| _ = t.untrusted(">>> x", 99)), "›&gt;&gt; x");
    assert_eq!(built(|t| _ = t.trusted("a\n").untrusted("> x", 99)), "a\n› x");
    assert_eq!(built(|t| _ = t.trusted("a: ").untrusted("> x", 99)), "a: &gt; x");
}

#[test]
fn a_piece_that_does_not_fit_is_left_out_whole() {
    let url = WebUrl::parse("https://example.com/").unwrap();
    let text = built(|t| {
        _ = t.untrusted(&"a".repeat(9_000), 2_990).link(&url).untrusted("bcdefghijklmno", 99).trusted("!")
    });
    assert!(text.ends_with("a…bcdefghij…") || text.ends_with("a…bcdefghi…"), "{}", &text[text.len() - 40..]);
    assert_eq!(utf16_len(&text), 3_000);
}

#[test]
fn code_spans_hold_no_ticks() {
    assert_eq!(built(|t| _ = t.code("a`b\n`c <&", 99)), "`aˋb ↵ ˋc &lt;&amp;`");
    assert_eq!(built(|t| _ = t.code("abcdef", 5)), "`ab…`");
    assert_eq!(built(|t| _ = t.code(" \n", 99)), "");
    assert_eq!(built(|t| _ = t.code("abc", 2)), "");
}

#[test]
fn only_plain_web_addresses_are_linked() {
    #[track_caller]
    fn assert_parsed(text: &str, expected: Option<&str>) {
        let url = WebUrl::parse(text);
        assert_eq!(url.as_ref().map(WebUrl::as_str), expected);
    }
    assert_parsed("teleport.example.com", Some("https://teleport.example.com"));
    assert_parsed("teleport.example.com:443/web", Some("https://teleport.example.com/web"));
    assert_parsed("teleport.example.com:443", Some("https://teleport.example.com"));
    assert_parsed("https://[::1]:443/", Some("https://[::1]/"));
    assert_parsed("http://teleport.example.com:80/web", Some("http://teleport.example.com/web"));
    assert_parsed("http://teleport.example.com:443", Some("http://teleport.example.com:443"));
    assert_parsed("teleport.example.com:4430", Some("https://teleport.example.com:4430"));
    assert_parsed("http://localhost:3080/a-b_c.d~e/", Some("http://localhost:3080/a-b_c.d~e/"));
    assert_parsed("[2001:db8::1]:3080", Some("https://[2001:db8::1]:3080"));
    assert_parsed("https://[::1]", Some("https://[::1]"));
    for refused in [
        "",
        "/",
        "https://",
        "javascript:alert(1)",
        "javascript://example.com/",
        "ftp://example.com",
        "HTTPS://example.com",
        "https://user@example.com",
        "https://example.com|https://other.example",
        "https://example.com>",
        "https://example.com/ x",
        "https://example.com/a?b",
        "https://example.com/a#b",
        "https://example.com/%0a",
        "https://exämple.com",
        "https://example.com:",
        "https://example.com:0",
        "https://example.com:65536",
        "https://example.com:+80",
        "https://example.com:80:80",
        "https://[::1",
        "https://[::1]x",
        "https://[::1]80",
        "https://.example.com",
        "example.com\n",
    ] {
        assert_parsed(refused, None);
    }
    assert_parsed(&"a".repeat(301), None);
}

#[test]
fn dates_are_shown_in_the_readers_zone() {
    let text = built(|t| _ = t.date("2026-11-22T15:59:50.4Z".parse().unwrap()));
    insta::assert_snapshot!(text, @"<!date^1795363190^{date_short_pretty} {time}|22 Nov 26 15:59 UTC>");
    let text = built(|t| _ = t.trusted("at ").date_in_full("2026-11-22T15:59:50.4Z".parse().unwrap()));
    insta::assert_snapshot!(text, @"at <!date^1795363190^{date_short} {time}|22 Nov 26 15:59 UTC>");
}

#[test]
fn dates_that_slack_may_not_bear_are_plain() {
    let dates = [Timestamp::MIN, Timestamp::MAX, "0001-01-01T00:00:00Z".parse().unwrap()];
    let shown: Vec<_> = dates.into_iter().map(|date| built(|t| _ = t.date(date))).collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    02 Jan -9999 01:59 UTC
    30 Dec 9999 22:00 UTC
    01 Jan 1 00:00 UTC
    ");
}

#[test]
fn lists_are_bounded_in_items_and_units() {
    #[track_caller]
    fn assert_list(items: &[&str], room: ListLimits, expected: &str) {
        let text = built(|t| _ = t.list(items, room));
        assert_eq!(text, expected);
        assert!(utf16_len(&text) <= room.total);
    }
    let room = ListLimits { separator: ", ", items: 3, each: 4, total: 99 };
    assert_list(&[], room, "");
    assert_list(&["a"], room, "a");
    assert_list(&["a", "b", "c"], room, "a, b, c");
    assert_list(&["a", "b", "c", "d", "e"], room, "a, b, c, +2 more");
    assert_list(&["<>", "abcdef", "x\ny"], room, "…, abc…, x ↵…");
    assert_list(&["a", "b", "c"], ListLimits { total: 13, ..room }, "a, b, c");
    assert_list(&["a", "b", "c"], ListLimits { total: 12, ..room }, "a, +2 more");
    assert_list(&["abcd", "bcde", "cd"], ListLimits { total: 12, ..room }, "+3 more");
    assert_list(&["abcd", "bcde", "cd"], ListLimits { total: 13, ..room }, "abcd, +2 more");
}

#[test]
fn ten_thousand_items_are_counted() {
    let items = vec!["role".to_owned(); 10_000];
    let room = ListLimits { separator: ",", items: 9_999, each: 9, total: 100 };
    let text = built(|t| _ = t.list(&items, room));
    assert!(text.ends_with("role,+9982 more"), "{text}");
}
