//! Postgres with TLS: whom the functions trust, and passwords that are not for ever.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    net::{TcpListener, TcpStream},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicI64, Ordering},
    },
};

use jiff::{civil::DateTime, tz::Offset};
use local_stack::{
    authority::{Authority, Issued},
    postgres::{Postgres, Secured},
};
use serde_json::{Value, json};
use shared::{Micros, database::DatabaseConfig, env::Env, timestamp};
use tokio_postgres::{Client, NoTls};

use crate::{
    aws::Aws,
    support::{Place, batch, directory, lookup, record_at, until},
};

const URL: &str = "https://a.test";

/// A server that takes passwords through TLS alone: those of IAM from a user `iam`, of anybody else its own.
struct Server {
    postgres: Postgres,
    authority: Authority,
    ca_file: String,
}

async fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let start = || {
        let authority = Authority::new().unwrap();
        let issued: Issued = authority.issue("localhost", false).unwrap();
        let access = format!(
            "hostssl all iam 127.0.0.1/32 ldap ldapserver=127.0.0.1 ldapport={} ldapprefix=\"\" ldapsuffix=\"\"\n\
             hostssl all all 127.0.0.1/32 scram-sha-256\n",
            token_checker()
        );
        let secured = Secured { issued: &issued, access: &access };
        let services = directory("services");
        let postgres = Postgres::start_secured(&services.join("secured-postgres"), &["fsync=off"], &secured).unwrap();
        let ca_file = services.join("postgres-ca.pem");
        authority.write(&ca_file).unwrap();
        Server { postgres, authority, ca_file: ca_file.display().to_string() }
    };
    tokio::task::spawn_blocking(move || SERVER.get_or_init(start)).await.unwrap()
}

impl Server {
    /// A database that belongs to a user of that name with that password.
    async fn database(&self, name: &str, user: &str, password: &str) -> Client {
        self.postgres.create_database(name).await.unwrap();
        let (client, connection) =
            tokio_postgres::connect(&self.postgres.connection_string(name), NoTls).await.unwrap();
        tokio::spawn(connection);
        let make = format!("create role {user} login password '{password}'; alter database {name} owner to {user}");
        client.batch_execute(&make).await.unwrap();
        client
    }
}

// === what RDS does with a token ===

/// The tokens that were taken.
static TAKEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
/// Tokens of this second (Unix) or an earlier one have run out.
static RUN_OUT: AtomicI64 = AtomicI64::new(0);

/// Looks at passwords as RDS does, for Postgres, which asks by LDAP (RFC 4511, 4.2); on a port of 127.0.0.1. Whether the
/// signature is right, another test says, by known answers.
fn token_checker() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            std::thread::spawn(move || {
                while let Some((id, password)) = bind_request(&mut connection) {
                    let is_good = is_token(&password);
                    if is_good {
                        TAKEN.lock().unwrap().insert(password);
                    }
                    let code = if is_good { 0 } else { 49 };
                    let answer = [0x30, 0x0c, 0x02, 0x01, id, 0x61, 0x07, 0x0a, 0x01, code, 0x04, 0x00, 0x04, 0x00];
                    connection.write_all(&answer).unwrap_or_default();
                }
            });
        }
    });
    port
}

/// The number of a request to bind and its password; `None` for anything else, such as the end.
fn bind_request(connection: &mut TcpStream) -> Option<(u8, String)> {
    let (_, message) = element(connection)?;
    let mut message = message.as_slice();
    let (_, id) = element(&mut message)?;
    let (0x60, bind) = element(&mut message)? else { return None };
    let mut bind = bind.as_slice();
    let (_version, _name) = (element(&mut bind)?, element(&mut bind)?);
    let (0x80, password) = element(&mut bind)? else { return None };
    Some((*id.last()?, String::from_utf8(password).ok()?))
}

/// An element of BER: its tag and its contents.
fn element(from: &mut impl std::io::Read) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    from.read_exact(&mut head).ok()?;
    let mut length = usize::from(head[1]);
    if length > 0x7f {
        let mut bytes = vec![0; length & 0x7f];
        from.read_exact(&mut bytes).ok()?;
        length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    }
    let mut contents = vec![0; length];
    from.read_exact(&mut contents).ok()?;
    Some((head[0], contents))
}

fn is_token(password: &str) -> bool {
    let Ok(url) = format!("https://{password}").parse::<url::Url>() else { return false };
    let query: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    let value = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let signed_at = DateTime::strptime("%Y%m%dT%H%M%SZ", value("X-Amz-Date"));
    let Ok(signed_at) = signed_at.and_then(|time| Offset::UTC.to_timestamp(time)) else { return false };
    let age = timestamp::now().as_second() - signed_at.as_second();
    url.host_str() == Some("localhost")
        && value("Action") == "connect"
        && value("DBUser") == "iam"
        && value("X-Amz-Credential").starts_with("AKIDEXAMPLE/")
        && value("X-Amz-Credential").ends_with("/eu-west-1/rds-db/aws4_request")
        && value("X-Amz-Signature").len() == 64
        && (0..900).contains(&age)
        && signed_at.as_second() > RUN_OUT.load(Ordering::Relaxed)
}

// === tests ===

/// A batch of one record that was not there before.
fn one(offset: i64) -> Value {
    batch(offset, &[record_at(URL, Micros(Micros::from(timestamp::now()).0 + offset))])
}

const END_ALL: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                       where datname = current_database() and application_name = 'website-monitor'";

#[tokio::test]
async fn a_password_that_was_rotated_is_found_in_its_secret() {
    let server = server().await;
    let place = Place::new("trusting_rotated").await;
    let aws = Aws::start().await;
    let client = server.database("trusting_rotated", "rotated", "first").await;
    let secret = |password: &str| {
        let port = server.postgres.port();
        let fields = json!({
            "engine": "postgres", "host": "localhost", "port": port, "dbname": "trusting_rotated",
            "username": "rotated", "password": password
        });
        aws.keep("database", &fields.to_string())
    };
    let (arn, ca) = (secret("first"), aws.keep("database-ca", &server.authority.pem()));
    let variables =
        [("WM_DB_CONNECTION_STRING", String::new()), ("WM_DB_SECRET_ARN", arn.clone()), ("WM_DB_CA_SECRET_ARN", ca)];
    let functions = place.functions(&[&variables[..], &aws.variables()].concat()).await;
    for offset in 0..2 {
        assert_eq!(functions.client().invoke("flush", &one(offset)).await.unwrap()["stored"], 1);
    }
    assert_eq!(aws.asked(&arn), 1, "a warm function asks for nothing");

    client.batch_execute("alter role rotated password 'second'").await.unwrap();
    assert_eq!(client.query_one(END_ALL, &[]).await.unwrap().get::<_, i64>(0), 1);
    let error = functions.client().invoke("flush", &one(2)).await.unwrap_err().to_string();
    assert!(error.contains("check the user and the password in the secret of WM_DB_SECRET_ARN"), "{error}");
    secret("second");

    assert_eq!(functions.client().invoke("flush", &one(3)).await.unwrap()["stored"], 1);
    let report = functions.client().stats_of(&[URL.to_owned()]).await.unwrap();
    assert_eq!(report.stats[0].figures.probes, 3);
    let tls = "select count(*) from pg_stat_ssl join pg_stat_activity using (pid) \
               where application_name = 'website-monitor' and datname = current_database() and ssl";
    assert_eq!(client.query_one(tls, &[]).await.unwrap().get::<_, i64>(0), 2);
}

#[tokio::test]
async fn each_connection_by_iam_has_a_password_of_its_own() {
    let server = server().await;
    let place = Place::new("trusting_iam").await;
    let aws = Aws::start().await;
    let client = server.database("trusting_iam", "iam", "unused").await;
    let variables = [
        (
            "WM_DB_CONNECTION_STRING",
            format!("postgres://localhost:{}/trusting_iam?connect_timeout=60", server.postgres.port()),
        ),
        ("WM_DB_USER", "iam".to_owned()),
        ("WM_DB_AUTH", "iam".to_owned()),
        ("WM_DB_SSL_CA_FILE", server.ca_file.clone()),
    ];
    let functions = place.functions(&[&variables[..], &aws.variables()].concat()).await;
    assert_eq!(functions.client().invoke("flush", &one(0)).await.unwrap()["stored"], 1);
    let first = TAKEN.lock().unwrap().first().cloned().unwrap();

    // Its time is over, and the connection breaks.
    let now = timestamp::now().as_second();
    RUN_OUT.store(now, Ordering::Relaxed);
    until("the next second", async || timestamp::now().as_second() > now).await;
    assert_eq!(client.query_one(END_ALL, &[]).await.unwrap().get::<_, i64>(0), 1);
    let stored = functions.client().invoke("flush", &one(1)).await.unwrap();

    assert_eq!(stored["stored"], 1);
    assert!(!is_token(&first) && TAKEN.lock().unwrap().len() > 1);
    let report = functions.client().stats_of(&[URL.to_owned()]).await.unwrap();
    assert_eq!(report.stats[0].figures.probes, 2);
}

/// What is said when a connection with these variables is refused.
async fn refused(variables: Vec<(&'static str, String)>) -> String {
    let lookup = lookup(variables);
    let mut env = Env::new(&lookup);
    let config = DatabaseConfig::from_env(&mut env);
    env.finish(config).unwrap().connect().await.err().unwrap().to_string()
}

#[tokio::test]
async fn a_server_that_is_not_trusted_or_does_not_trust_us_is_told_by_the_setting() {
    let server = server().await;
    server.database("trusting_refused", "refused", "correct-horse").await;
    let other = directory("services").join("postgres-other-ca.pem");
    Authority::new().unwrap().write(&other).unwrap();
    let connection = |host: &str, password: &str, database: &str, more: &str| {
        let port = server.postgres.port();
        (
            "WM_DB_CONNECTION_STRING",
            format!("postgres://refused:{password}@{host}:{port}/{database}?connect_timeout=60{more}"),
        )
    };
    let right = |more: &str| connection("localhost", "correct-horse", "trusting_refused", more);
    let ca = ("WM_DB_SSL_CA_FILE", server.ca_file.clone());

    let wrong_ca = refused(vec![right(""), ("WM_DB_SSL_CA_FILE", other.display().to_string())]).await;
    let no_ca = refused(vec![right("&sslmode=require")]).await;
    let other_name = refused(vec![connection("127.0.0.1", "correct-horse", "trusting_refused", ""), ca.clone()]).await;
    let password = refused(vec![connection("localhost", "wrong-horse", "trusting_refused", ""), ca.clone()]).await;
    let database = refused(vec![connection("localhost", "correct-horse", "no_such", ""), ca.clone()]).await;
    let plain_text = refused(vec![right("&sslmode=disable")]).await;

    for (error, expected) in [
        (&wrong_ca, "its CA is not in WM_DB_SSL_CA_FILE"),
        (&no_ca, "a private one goes into WM_DB_CA_SECRET_ARN or WM_DB_SSL_CA_FILE"),
        (&other_name, "the host is not one that its certificate is for"),
        (&password, "check the user and the password in WM_DB_CONNECTION_STRING"),
        (&database, "there is no such database"),
        (&plain_text, "the server wants TLS: sslmode=require"),
    ] {
        assert!(error.contains(expected), "{expected} is not in {error}");
        assert!(error.starts_with("cannot connect to the database: ") && !error.contains("-horse"), "{error}");
    }
}
