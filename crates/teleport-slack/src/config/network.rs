//! Networks in CIDR notation, IPv4 and IPv6.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Without any bit beyond the prefix, and no IPv4 address in IPv6's form.
    first: IpAddr,
    prefix: u8,
}

impl Network {
    /// Reads `10.0.0.0/8`, `2001:db8::/32`, or one address.
    ///
    /// # Errors
    /// What is wrong, and the remedy.
    pub(super) fn parse(text: &str) -> Result<Self, (String, String)> {
        const WRITE: &str = "write it as \"10.0.0.0/8\" or \"2001:db8::/32\"";
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| {
            let cause = if text.is_empty() {
                "it is empty"
            } else if address.contains('%') {
                "an address with an interface is no network"
            } else if address.contains([':', '.'])
                && address.bytes().all(|c| c.is_ascii_hexdigit() || b":.".contains(&c))
            {
                "that is no IP address"
            } else {
                "names are not looked up; it must be an IP network"
            };
            (cause.to_owned(), WRITE.to_owned())
        })?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(prefix) => match prefix.parse::<u8>() {
                // The parser takes a sign.
                Ok(prefix)
                    if prefix <= bits
                        && text.ends_with(|c: char| c.is_ascii_digit())
                        && !text.contains('+') =>
                {
                    prefix
                }
                _ => {
                    let cause = format!("the prefix behind the slash must be a number from 0 to {bits}");
                    return Err((cause, WRITE.to_owned()));
                }
            },
        };
        if let IpAddr::V6(v6) = address
            && let Some(v4) = v6.to_ipv4_mapped()
        {
            let remedy = match prefix.checked_sub(96) {
                Some(prefix) => format!("write it as \"{}\"", Self::with_prefix(IpAddr::V4(v4), prefix)),
                None => WRITE.to_owned(),
            };
            return Err(("it is an IPv4 address in IPv6's form".to_owned(), remedy));
        }
        let network = Self::with_prefix(address, prefix);
        if network.first != address {
            let cause =
                format!("it is not the first address of its network: bits are set beyond the first {prefix}");
            return Err((cause, format!("write \"{network}\", or \"{address}\" for that address alone")));
        }
        Ok(network)
    }

    fn with_prefix(address: IpAddr, prefix: u8) -> Self {
        let first = match address {
            IpAddr::V4(v4) => {
                IpAddr::V4((v4.to_bits() & (!0_u32).checked_shl(32 - u32::from(prefix)).unwrap_or(0)).into())
            }
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(
                v6.to_bits() & (!0_u128).checked_shl(128 - u32::from(prefix)).unwrap_or(0),
            )),
        };
        Self { first, prefix }
    }

    /// Whether the address is in it. An IPv4 address counts as one, in whichever form it comes.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4()
            && Self::with_prefix(address, self.prefix).first == self.first
    }

    /// Whether every address of its kind is in it.
    pub(super) fn is_everyone(&self) -> bool {
        self.prefix == 0
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Network {
        Network::parse(text).unwrap_or_else(|mistake| panic!("{text}: {mistake:?}"))
    }

    #[test]
    fn an_address_is_in_the_networks_that_share_its_first_bits() {
        for (network, inside, outside) in [
            (
                "10.0.0.0/8",
                &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"][..],
                &["11.0.0.0", "9.255.255.255", "a00::1", "::10.1.2.3"][..],
            ),
            ("192.0.2.16/28", &["192.0.2.16", "192.0.2.31"], &["192.0.2.15", "192.0.2.32"]),
            ("192.0.2.7", &["192.0.2.7", "::ffff:192.0.2.7"], &["192.0.2.6", "192.0.2.8"]),
            ("0.0.0.0/0", &["1.2.3.4", "::ffff:1.2.3.4"], &["::1", "2001:db8::1"]),
            ("2001:db8::/32", &["2001:db8::1", "2001:db8:ffff::"], &["2001:db9::", "32.1.13.184"]),
            ("::/0", &["::1", "2001:db8::1"], &["1.2.3.4", "::ffff:1.2.3.4"]),
            ("fe80::1", &["fe80::1"], &["fe80::2"]),
        ] {
            for (addresses, expected) in [(inside, true), (outside, false)] {
                for address in addresses {
                    assert_eq!(
                        parsed(network).contains(address.parse().unwrap()),
                        expected,
                        "{address} in {network}"
                    );
                }
            }
        }
        assert_eq!(parsed("10.0.0.7").to_string(), "10.0.0.7/32");
    }

    #[test]
    fn each_mistake_has_its_own_words() {
        for (text, words) in [
            ("", "it is empty"),
            ("/8", "names are not looked up"),
            ("office", "names are not looked up"),
            ("*", "names are not looked up"),
            ("10.0.0.0/33", "a number from 0 to 32"),
            ("10.0.0.0/", "a number from 0 to 32"),
            ("10.0.0.0/+8", "a number from 0 to 32"),
            ("10.0.0.0/8/8", "a number from 0 to 32"),
            ("10.0.0.0/255.0.0.0", "a number from 0 to 32"),
            ("2001:db8::/129", "a number from 0 to 128"),
            ("10.0.0/24", "no IP address"),
            ("010.0.0.0/8", "no IP address"),
            ("10.0.0.256/32", "no IP address"),
            ("[::1]/128", "names are not looked up"),
            ("fe80::1%eth0/64", "an address with an interface"),
            ("10.0.0.5/8", "not the first address"),
            ("::ffff:10.0.0.0/104", "IPv4 address in IPv6's form"),
        ] {
            let (cause, _) = Network::parse(text).unwrap_err();
            assert!(cause.contains(words), "{text}: {cause}");
        }
        let remedy = |text| Network::parse(text).unwrap_err().1;
        assert_eq!(remedy("10.0.0.5/8"), "write \"10.0.0.0/8\", or \"10.0.0.5\" for that address alone");
        assert_eq!(remedy("::ffff:10.0.0.0/104"), "write it as \"10.0.0.0/8\"");
    }
}
