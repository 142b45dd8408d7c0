//! Whether two patterns are for a role in common, and whether one is for all roles of the other: decided exactly, for every
//! possible name, on the automata of both.
//!
//! For checks of a configuration; the daemon itself only asks whether a pattern matches a role.

use std::collections::{BTreeMap, VecDeque};

use regex_automata::dfa::dense::{self, DFA};
use regex_automata::dfa::{Automaton, StartKind};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};

use super::role_pattern::RolePattern;

/// No automaton takes more memory, in bytes.
const MAX_AUTOMATON: usize = 1024 * 1024;
/// No search looks at more pairs of states.
const MAX_PAIRS: usize = 50_000;
/// What a role's name is made of mostly; tried first, so that examples can be read.
const USUAL: &[u8] = b"abcdefghijklmnopqrstuvwxyz-0123456789_";
/// Any name at all.
const ANY_NAME: &str = "(?s)^.+$";

/// The patterns are too complicated to be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooComplicated;

/// A shortest name of a role that both patterns match; `None` if there is none.
///
/// # Errors
/// [`TooComplicated`] if one of them takes too much memory or time.
pub fn common_role(one: &RolePattern, other: &RolePattern) -> Result<Option<String>, TooComplicated> {
    search(&automaton(&one.expression())?, &automaton(&other.expression())?, |one, other| one && other)
}

/// Whether `wide` matches every role that `narrow` matches.
///
/// # Errors
/// [`TooComplicated`] if one of them takes too much memory or time.
pub fn covers(wide: &RolePattern, narrow: &RolePattern) -> Result<bool, TooComplicated> {
    covers_expression(wide, &narrow.expression())
}

/// Whether the pattern matches every role there can be.
///
/// # Errors
/// [`TooComplicated`] if it takes too much memory or time.
pub fn matches_every_role(pattern: &RolePattern) -> Result<bool, TooComplicated> {
    covers_expression(pattern, ANY_NAME)
}

/// Whether there is any name that the pattern matches.
///
/// # Errors
/// [`TooComplicated`] if it takes too much memory or time.
pub fn can_match(pattern: &RolePattern) -> Result<bool, TooComplicated> {
    let found =
        search(&automaton(&pattern.expression())?, &automaton(ANY_NAME)?, |pattern, any| pattern && any)?;
    Ok(found.is_some())
}

fn covers_expression(wide: &RolePattern, narrow: &str) -> Result<bool, TooComplicated> {
    let outside = |narrow, wide: bool| narrow && !wide;
    let found = search(&automaton(narrow)?, &automaton(&wide.expression())?, outside)?;
    Ok(found.is_none())
}

fn automaton(expression: &str) -> Result<DFA<Vec<u32>>, TooComplicated> {
    let config = dense::Config::new()
        .start_kind(StartKind::Anchored)
        .match_kind(MatchKind::All)
        .dfa_size_limit(Some(MAX_AUTOMATON))
        .determinize_size_limit(Some(MAX_AUTOMATON));
    dense::Builder::new()
        .configure(config)
        .thompson(thompson::Config::new().nfa_size_limit(Some(MAX_AUTOMATON)))
        .build(expression)
        .map_err(|_| TooComplicated)
}

/// A shortest text of which `wanted` holds, given whether each automaton matches all of it. Both run side by side; a pair of
/// states stands for all texts that lead there.
fn search(
    one: &DFA<Vec<u32>>,
    other: &DFA<Vec<u32>>,
    wanted: impl Fn(bool, bool) -> bool,
) -> Result<Option<String>, TooComplicated> {
    type Pair = (StateID, StateID);
    let first = |dfa: &DFA<Vec<u32>>| {
        dfa.start_state(&start::Config::new().anchored(Anchored::Yes)).map_err(|_| TooComplicated)
    };
    let is_end = |dfa: &DFA<Vec<u32>>, state| dfa.is_match_state(dfa.next_eoi_state(state));
    let bytes: Vec<u8> = USUAL.iter().copied().chain(0..=u8::MAX).collect();
    let start: Pair = (first(one)?, first(other)?);
    let mut reached: BTreeMap<Pair, Option<(Pair, u8)>> = BTreeMap::from([(start, None)]);
    let mut queue = VecDeque::from([start]);
    while let Some(pair) = queue.pop_front() {
        if wanted(is_end(one, pair.0), is_end(other, pair.1)) {
            let mut text = Vec::new();
            let mut at = pair;
            while let Some(Some((before, byte))) = reached.get(&at) {
                text.push(*byte);
                at = *before;
            }
            text.reverse();
            return Ok(Some(String::from_utf8_lossy(&text).into_owned()));
        }
        for byte in &bytes {
            let next = (one.next_state(pair.0, *byte), other.next_state(pair.1, *byte));
            // Both questions are about texts that the first one matches.
            if one.is_dead_state(next.0) || reached.contains_key(&next) {
                continue;
            }
            if reached.len() >= MAX_PAIRS {
                return Err(TooComplicated);
            }
            reached.insert(next, Some((pair, *byte)));
            queue.push_back(next);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> RolePattern {
        RolePattern::parse(text).unwrap_or_else(|wrong| panic!("{text}: {wrong}"))
    }

    #[test]
    fn a_role_in_common_is_found_or_ruled_out() {
        for (one, other, common) in [
            ("dba", "dba", Some("dba")),
            ("dba", "dbb", None),
            ("prod-*", "*-db", Some("prod-db")),
            ("prod-*", "*", Some("prod-")),
            ("prod-?", "prod-??", None),
            ("^prod-(db|web)$", "*-web", Some("prod-web")),
            ("^prod-\\d+$", "prod-*", Some("prod-0")),
            ("^[a-m]+$", "^[n-z]+$", None),
            ("^.*\\bdb\\b.*$", "prod-db", Some("prod-db")),
            ("ü*", "*é", Some("üé")),
            ("a.b", "axb", None),
        ] {
            let found = common_role(&pattern(one), &pattern(other));
            assert_eq!(found, Ok(common.map(str::to_owned)), "{one} and {other}");
        }
    }

    #[test]
    fn a_pattern_covers_another_if_no_name_is_outside() {
        for (wide, narrow, is_covered) in [
            ("*", "prod-*", true),
            ("prod-*", "*", false),
            ("?*", "^[a-z]+$", true),
            ("prod-*", "prod-db", true),
            ("^(a|b)$", "a", true),
            ("a?c", "a*c", false),
            ("a*c", "a?c", true),
        ] {
            assert_eq!(covers(&pattern(wide), &pattern(narrow)), Ok(is_covered), "{wide} and {narrow}");
        }
        assert_eq!(matches_every_role(&pattern("?*")), Ok(true));
        assert_eq!(matches_every_role(&pattern("^.+$")), Ok(false), "not a name with a line break");
        assert_eq!(matches_every_role(&pattern("prod-*")), Ok(false));
    }

    #[test]
    fn what_no_name_can_match_is_found() {
        assert_eq!(can_match(&pattern("^[^\\x{0}-\\x{10FFFF}]$")), Ok(false));
        assert_eq!(can_match(&pattern("^\\bprod\\B-db$")), Ok(false));
        assert_eq!(can_match(&pattern("prod-*")), Ok(true));
    }

    #[test]
    fn what_takes_too_much_is_said() {
        let huge = pattern("^(a|b)*a(a|b){20}$");
        assert_eq!(common_role(&huge, &huge), Err(TooComplicated));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_example_is_matched_by_both(one in "[ab*?]{1,6}", other in "[ab*?]{1,6}") {
            let (one, other) = (pattern(&one), pattern(&other));
            if let Some(role) = common_role(&one, &other).unwrap() {
                prop_assert!(one.matches(&role) && other.matches(&role), "{role}");
            }
        }

        #[test]
        fn what_matches_both_is_not_ruled_out(role in "[ab]{1,6}", one in "[ab*?]{1,4}", other in "[ab*?]{1,4}") {
            let (one, other) = (pattern(&one), pattern(&other));
            if one.matches(&role) && other.matches(&role) {
                prop_assert!(common_role(&one, &other).unwrap().is_some());
            }
            if one.matches(&role) && !other.matches(&role) {
                prop_assert!(!covers(&other, &one).unwrap());
            }
        }
    }
}
