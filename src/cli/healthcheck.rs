//! `keygate healthcheck`: asks a running gate whether it is ready, for containers without a shell.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{ConfigPath, Failure};
use crate::config::types::Text;
use crate::config::{self, Environment};
use crate::plan::ListenAddr;

/// Arguments of `healthcheck`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigPath,
    /// The address of the admin listener, in place of what the configuration says
    #[arg(long, value_name = "ADDR", env = "KEYGATE_ADMIN", hide_env_values = true)]
    admin: Option<String>,
}

/// How long everything may take: Kubernetes gives a probe one second, Docker thirty.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The longest answer that is read: a line of status is all that counts.
const MAX_ANSWER: usize = 4096;

/// Is silent and succeeds if the gate is ready; says why it is not.
pub fn run(args: &Args) -> Result<(), Failure> {
    let address = address(args)?;
    match ask(&address) {
        Ok(200) => Ok(()),
        Ok(status) => Err(unwell(&address, &format!("it answers {status}"))),
        Err(why) => Err(unwell(&address, &why)),
    }
}

/// A container's engine knows no other code than 1 for what is unwell.
fn unwell(address: &ListenAddr, why: &str) -> Failure {
    Failure { code: 1, message: format!("not ready: {address}: {why}") }
}

fn address(args: &Args) -> Result<ListenAddr, Failure> {
    let wrong = |problems: config::problem::Problems| Failure::configuration(problems.to_string());
    let environment = Environment::read(Path::new("")).map_err(wrong)?;
    let written = environment.value("KEYGATE_ADMIN").map(str::to_owned);
    if let Some(address) = args.admin.clone().or(written) {
        return ListenAddr::parse(&address)
            .map_err(|message| Failure::configuration(format!("error: --admin: {message}")));
    }
    let config = config::load(&args.config.resolve(&environment), &environment).map_err(wrong)?;
    match config.admin.as_ref().and_then(|admin| admin.listen.0.first()) {
        Some(address) => Ok(address.get_ref().clone()),
        None => Err(Failure::configuration(
            "error: the configuration has no [admin], so nobody can be asked\n  = help: \
             [admin] listen = \"127.0.0.1:9090\"",
        )),
    }
}

const REQUEST: &[u8] = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// The status that the gate answers with; the error says in few words why there is none.
fn ask(address: &ListenAddr) -> Result<u16, String> {
    let told = |error: std::io::Error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "it does not answer in time".to_owned(),
        _ => error.to_string(),
    };
    match address {
        ListenAddr::Tcp(address) => {
            let stream = TcpStream::connect_timeout(&reachable(*address), TIMEOUT).map_err(told)?;
            exchange(&stream, |left| stream.set_read_timeout(Some(left))).map_err(told)
        }
        ListenAddr::Unix(path) => {
            let stream = UnixStream::connect(path).map_err(told)?;
            exchange(&stream, |left| stream.set_read_timeout(Some(left))).map_err(told)
        }
        ListenAddr::Systemd(_) => Err("only its unit knows where that is".to_owned()),
    }
    .and_then(|answer| status(&answer).ok_or_else(|| "its answer is not HTTP".to_owned()))
}

/// What is listened on everywhere is reached on this machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn exchange(
    mut stream: impl Read + Write,
    wait: impl Fn(Duration) -> std::io::Result<()>,
) -> std::io::Result<Vec<u8>> {
    let end = Instant::now() + TIMEOUT;
    stream.write_all(REQUEST)?;
    let mut answer = vec![0; MAX_ANSWER];
    let mut length = 0;
    while length < answer.len() && !answer[..length].contains(&b'\n') {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        wait(left)?;
        match stream.read(&mut answer[length..])? {
            0 => break,
            count => length += count,
        }
    }
    answer.truncate(length);
    Ok(answer)
}

/// The status in the first line of an answer.
fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|&byte| byte == b'\n').next()?;
    let line = str::from_utf8(line).ok()?.strip_prefix("HTTP/1.")?;
    line.split(' ').nth(1)?.trim_end().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_in_the_first_line() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\nX: 503\r\n", Some(200)),
            ("HTTP/1.0 503\r\n", Some(503)),
            ("HTTP/2 200\r\n", None),
            ("200 OK\r\n", None),
            ("", None),
        ] {
            assert_eq!(status(answer.as_bytes()), expected, "{answer}");
        }
    }

    #[track_caller]
    fn check_reachable(listen: &str, expected: &str) {
        assert_eq!(reachable(listen.parse().unwrap()), expected.parse().unwrap());
    }

    #[test]
    fn what_listens_everywhere_is_asked_on_this_machine() {
        check_reachable("0.0.0.0:9090", "127.0.0.1:9090");
        check_reachable("[::]:9090", "[::1]:9090");
        check_reachable("10.0.0.1:9090", "10.0.0.1:9090");
    }
}
