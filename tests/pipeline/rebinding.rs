//! Names whose server means harm or is away, in a network of our own.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use local_stack::workspace;
use nix::unistd::Uid;
use shared::record::{FailureKind, Phases};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UdpSocket},
};

use crate::{
    exchanging::message,
    requesting::{ENOUGH, kind, requester_with},
    support::directory,
};

/// Set in the network of our own.
const INSIDE: &str = "WEBSITE_MONITOR_TEST_INSIDE";
/// It stands for a public address there.
const PUBLIC: Ipv4Addr = Ipv4Addr::new(1, 1, 1, 1);
/// The metadata service of AWS.
const HIDDEN: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
const PROBES: usize = 40;

#[tokio::test]
async fn a_name_that_leads_elsewhere_when_it_is_asked_again_gains_nothing() {
    in_a_network_of_our_own("a_name_that_leads_elsewhere_when_it_is_asked_again_gains_nothing", rebound).await;
}

#[tokio::test]
async fn without_a_name_server_names_fail_and_addresses_do_not() {
    in_a_network_of_our_own("without_a_name_server_names_fail_and_addresses_do_not", unresolved).await;
}

#[tokio::test]
async fn lost_dns_packet_costs_a_second_with_the_options_of_the_template() {
    in_a_network_of_our_own("lost_dns_packet_costs_a_second_with_the_options_of_the_template", lossy).await;
}

/// Runs `inside` in a network of its own, which has a public and a hidden address and is the only one to ask for names: runs
/// this test once more in there.
async fn in_a_network_of_our_own(test: &str, inside: impl AsyncFnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return inside().await;
    }
    let directory = directory("rebinding").join(test);
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("resolv.conf"), "nameserver 127.0.0.1\noptions timeout:5\n").unwrap();
    let script = "set -e; ip link set lo up; ip address add 1.1.1.1/32 dev lo; ip address add 169.254.169.254/32 dev lo; \
                  mount --bind \"$1\" /etc/resolv.conf; shift; exec \"$@\"";
    let output = Command::new("unshare")
        .arg(if Uid::effective().is_root() { "-mn" } else { "-rmn" })
        .args(["sh", "-c", script, "sh"])
        .arg(directory.join("resolv.conf"))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("rebinding::{test}"), "--nocapture"])
        .env(INSIDE, "yes")
        .env("RES_OPTIONS", resolver_options())
        .output();
    let said = match &output {
        Ok(output) => String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned(),
        Err(error) => error.to_string(),
    };
    if output.is_ok_and(|output| output.status.success()) {
        assert!(said.contains("1 passed"), "{said}");
        return;
    }
    let is_refused = ["Operation not permitted", "No such file or directory", "Permission denied", "not found"];
    // Where it is to be shown for certain, it is.
    let is_excused = std::env::var_os("WEBSITE_MONITOR_TEST_ALL").is_none() && !said.contains("running 1 test");
    assert!(is_excused && is_refused.iter().any(|words| said.contains(words)), "{said}");
    eprintln!("not shown, since this machine makes no network namespaces: {said}");
}

/// What the template sets for the resolver of the C library.
fn resolver_options() -> String {
    let template = fs::read_to_string(workspace().join("template.yaml")).unwrap();
    template.lines().find_map(|line| line.trim().strip_prefix("RES_OPTIONS: ")).unwrap().to_owned()
}

/// The first questions get lost: those for an IPv4 and an IPv6 address.
async fn lossy() {
    let seen = Arc::new(AtomicUsize::new(0));
    let server = tokio::spawn(serve(TcpListener::bind((PUBLIC, 80)).await.unwrap(), Arc::clone(&seen)));
    let names = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).await.unwrap();
    let resolver = tokio::spawn(async move {
        for _ in 0..2 {
            names.recv_from(&mut [0; 512]).await.unwrap();
        }
        resolve(names, Arc::default()).await;
    });
    let prober = requester_with(&[("WM_ALLOW_PRIVATE_TARGETS", "false"), ("WM_PROBE_CONNECT_TIMEOUT_MS", "4500")]);

    let record = prober.request("http://somewhere.test/", None, ENOUGH).await;

    assert_eq!((kind(&record), seen.load(Ordering::SeqCst)), (None, 1), "{record:?}");
    server.abort();
    resolver.abort();
}

/// Nobody answers questions for names: at first, nobody is there; then, somebody says nothing.
async fn unresolved() {
    let seen = Arc::new(AtomicUsize::new(0));
    let server = tokio::spawn(serve(TcpListener::bind((PUBLIC, 80)).await.unwrap(), Arc::clone(&seen)));
    let [patient, impatient] = ["60000", "1000"].map(|timeout| {
        requester_with(&[("WM_ALLOW_PRIVATE_TARGETS", "false"), ("WM_PROBE_CONNECT_TIMEOUT_MS", timeout)])
    });

    let record = patient.request("http://somewhere.test/", None, ENOUGH).await;
    assert_eq!(kind(&record), Some(FailureKind::Dns), "{record:?}");
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).await.unwrap();
    let record = impatient.request("http://somewhere.test/", None, ENOUGH).await;
    assert_eq!(
        (kind(&record), message(&record)),
        (Some(FailureKind::Timeout), "no address of the name within 1000 ms")
    );
    assert_eq!(record.phases, Some(Phases::default()));
    // It was asked, and said nothing.
    assert!(silent.try_recv(&mut [0; 512]).is_ok());
    for _ in 0..2 {
        assert_eq!(kind(&patient.request("http://1.1.1.1/", None, ENOUGH).await), None);
    }

    assert_eq!(seen.load(Ordering::SeqCst), 2);
    server.abort();
}

/// A name server that says the one and the other in turns.
async fn rebound() {
    let [seen, hidden] = [PUBLIC, HIDDEN].map(|_| Arc::new(AtomicUsize::new(0)));
    let mut servers = Vec::new();
    for (address, requests) in [(PUBLIC, &seen), (HIDDEN, &hidden)] {
        let listener = TcpListener::bind((address, 80)).await.unwrap();
        servers.push(tokio::spawn(serve(listener, Arc::clone(requests))));
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let names = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).await.unwrap();
    servers.push(tokio::spawn(resolve(names, Arc::clone(&asked))));
    let requester = requester_with(&[("WM_ALLOW_PRIVATE_TARGETS", "false")]);

    let (mut up, mut blocked) = (0, 0);
    for _ in 0..PROBES {
        let record = requester.request("http://rebinding.test/latest/meta-data/", None, ENOUGH).await;
        match kind(&record) {
            None => up += 1,
            Some(FailureKind::Blocked) => blocked += 1,
            Some(_) => panic!("{record:?}"),
        }
    }

    // Each was answered by one question; what was judged is what was connected to.
    assert_eq!((up + blocked, asked.load(Ordering::SeqCst)), (PROBES, PROBES));
    assert!(up > 0 && blocked > 0, "{up} {blocked}");
    assert_eq!((seen.load(Ordering::SeqCst), hidden.load(Ordering::SeqCst)), (up, 0));
    servers.iter().for_each(tokio::task::JoinHandle::abort);
}

/// Answers each request, and counts connections.
async fn serve(listener: TcpListener, connections: Arc<AtomicUsize>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        connections.fetch_add(1, Ordering::SeqCst);
        let mut request = [0; 4_096];
        let _: usize = stream.read(&mut request).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.unwrap();
    }
}

/// Answers questions for an IPv4 address by the one and the other in turns, to be forgotten at once, and others by nothing
/// (RFC 1035, section 4); counts the former.
async fn resolve(socket: UdpSocket, asked: Arc<AtomicUsize>) {
    let mut question = [0; 512];
    loop {
        let (length, from): (usize, SocketAddr) = socket.recv_from(&mut question).await.unwrap();
        // The name ends with an empty label; type and class follow it.
        let end = 12 + question[12..length].iter().position(|byte| *byte == 0).unwrap() + 5;
        let is_a = question[end - 4..end - 2] == [0, 1];
        let mut answer = question[..end].to_vec();
        // An answer without error; one question, so many answers, and nothing else.
        answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, is_a.into(), 0, 0, 0, 0]);
        if is_a {
            let address = if asked.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) { PUBLIC } else { HIDDEN };
            // The same name, type A, class IN, no time to live, four bytes.
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
            answer.extend(address.octets());
        }
        socket.send_to(&answer, from).await.unwrap();
    }
}
