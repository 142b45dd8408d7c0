//! A name server (RFC 1035) with the names of a [`NameTable`], for programs that ask one by `/etc/resolv.conf`.
//!
//! It answers over UDP, with addresses of either family alone. Ports in the table do not count.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::UdpSocket;
use tokio_util::sync::DropGuard;

use crate::name_table::{Answer, NameTable};
use crate::tasks::Tasks;

/// The longest question over UDP.
const MAX_QUESTION_BYTES: usize = 512;
const HEADER_BYTES: usize = 12;
/// Record types of IPv4 and IPv6 addresses, and the class of the Internet.
const A: u16 = 1;
const AAAA: u16 = 28;
const INTERNET: u16 = 1;
/// How long an answer may be remembered, in seconds: not at all.
const TTL: u32 = 0;
/// Answers' codes.
const NO_ERROR: u8 = 0;
const SERVER_FAILURE: u8 = 2;
const NO_SUCH_NAME: u8 = 3;

/// The server; dropping it closes its port.
#[derive(Debug)]
pub struct NameServer {
    addr: SocketAddr,
    _stop: DropGuard,
}

impl NameServer {
    /// Answers at this address.
    ///
    /// # Errors
    /// When the port cannot be had; below 1024 it may need root.
    pub async fn start(addr: SocketAddr, names: NameTable) -> io::Result<Self> {
        let socket = UdpSocket::bind(addr).await?;
        let (addr, tasks) = (socket.local_addr()?, Tasks::default());
        let _stop = tasks.cancel_on_drop();
        tasks.spawn(async move {
            let mut bytes = [0; MAX_QUESTION_BYTES];
            loop {
                // A failed receive concerns one question.
                let Ok((length, asker)) = socket.recv_from(&mut bytes).await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                let answer = bytes.get(..length).and_then(|question| answer(question, &names));
                if let Some(answer) = answer {
                    let _ = socket.send_to(&answer, asker).await;
                }
            }
        });
        Ok(Self { addr, _stop })
    }

    /// Where it is.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// The answer to a question, unless there is none or the question cannot be read.
fn answer(asked: &[u8], names: &NameTable) -> Option<Vec<u8>> {
    let (header, rest) = asked.split_at_checked(HEADER_BYTES)?;
    let mut rest = rest;
    let mut labels = Vec::new();
    loop {
        let (length, more) = rest.split_first()?;
        let (label, more) = more.split_at_checked(usize::from(*length))?;
        rest = more;
        if label.is_empty() {
            break;
        }
        labels.push(String::from_utf8_lossy(label).into_owned());
    }
    let (kind, class) = (number(rest)?, number(rest.get(2..)?)?);
    let question = asked.get(HEADER_BYTES..asked.len() - rest.len() + 4)?;
    let (code, addresses) = match names.answer(&labels.join(".")) {
        _ if class != INTERNET => (NO_SUCH_NAME, Vec::new()),
        Some(Answer::Addresses(addresses)) => {
            let wanted = addresses.into_iter().map(|addr| addr.ip());
            (NO_ERROR, wanted.filter(|ip| kind == if ip.is_ipv4() { A } else { AAAA }).collect())
        }
        Some(Answer::Error) => (SERVER_FAILURE, Vec::new()),
        Some(Answer::Silence) => return None,
        None => (NO_SUCH_NAME, Vec::new()),
    };
    let mut out = header.get(..2)?.to_vec();
    // An answer, authoritative; as recursive as was asked for, and able to.
    out.extend([0x84 | (header.get(2)? & 1), 0x80 | code]);
    let count = u16::try_from(addresses.len()).ok()?;
    for number in [1, count, 0, 0] {
        out.extend(u16::to_be_bytes(number));
    }
    out.extend(question);
    for address in addresses {
        // The name is that of the question.
        out.extend([0xc0, 0x0c]);
        out.extend(kind.to_be_bytes());
        out.extend(INTERNET.to_be_bytes());
        out.extend(TTL.to_be_bytes());
        let bytes = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        out.extend(u16::try_from(bytes.len()).ok()?.to_be_bytes());
        out.extend(bytes);
    }
    Some(out)
}

fn number(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(..2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `dig` asks.
    fn question(name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            bytes.push(u8::try_from(label.len()).unwrap());
            bytes.extend(label.as_bytes());
        }
        bytes.extend([0, 0, u8::try_from(kind).unwrap(), 0, 1]);
        bytes
    }

    #[test]
    fn questions_have_the_answers_of_the_table() {
        let names = NameTable::default();
        names.lead("slack.test", ["192.0.2.7:0".parse().unwrap(), "[2001:db8::7]:0".parse().unwrap()]);
        names.set("broken.test", Answer::Error);
        names.set("silent.test", Answer::Silence);
        let four = answer(&question("slack.test", A), &names).unwrap();
        let head = [0xab, 0xcd, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        assert_eq!(four.get(..12).unwrap(), head);
        assert!(four.ends_with(&[0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 192, 0, 2, 7]), "{four:x?}");
        let six = answer(&question("SLACK.test", AAAA), &names).unwrap();
        assert!(six.ends_with(&[0, 16, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]), "{six:x?}");
        for (name, code) in [("broken.test", SERVER_FAILURE), ("other.test", NO_SUCH_NAME)] {
            assert_eq!(answer(&question(name, A), &names).unwrap()[3], 0x80 | code, "{name}");
        }
        assert_eq!(answer(&question("silent.test", A), &names), None);
        assert_eq!(answer(&question("slack.test", A)[..20], &names), None);
    }
}
