//! What the users of flush and stats may do in the database when they have but the role that is made for them.

use flush::{Flush, FlushConfig, run, seal_all};
use serde_json::json;
use shared::{Micros, migrations, timestamp};
use stats::{Stats, StatsConfig, query::StatsQuery};
use tokio_postgres::error::SqlState;

use crate::support::{Place, batch, example, hours_ago, lookup, record_at};

const URL: &str = "https://a.test";

/// The connection string of a user who has but these roles.
async fn user(place: &Place, name: &str, roles: &str) -> String {
    let client = place.client().await;
    let made = client.batch_execute(&format!("create role {name} login")).await;
    assert!(made.as_ref().err().is_none_or(|error| error.code() == Some(&SqlState::DUPLICATE_OBJECT)), "{made:?}");
    if !roles.is_empty() {
        client.batch_execute(&format!("grant {roles} to {name}")).await.unwrap();
    }
    place.connection_string.replace("postgres@", &format!("{name}@"))
}

fn flush(connection_string: &str, raw_retention: &str) -> Flush {
    let variables = vec![
        ("WM_DB_CONNECTION_STRING", connection_string.to_owned()),
        ("WM_RAW_RETENTION", raw_retention.to_owned()),
        ("WM_CHUNK_RETENTION", "400d".to_owned()),
        ("WM_DAY_RETENTION", "4000d".to_owned()),
    ];
    Flush::new(FlushConfig::from_env(&lookup(variables)).unwrap())
}

#[tokio::test]
async fn the_writer_does_all_that_flush_does_and_owns_nothing() {
    let place = Place::new("granting_writer").await;
    migrations::run(&mut place.client().await).await.unwrap();
    let writer = user(&place, "granting_writer", "website_monitor_writer").await;
    let (flush, forgetful) = (flush(&writer, "300d"), flush(&writer, "1h"));

    // Of now, of an hour that is closed, of a day worth a partition, and one that cannot be read.
    let now = Micros::from(timestamp::now());
    let old = hours_ago(24 * 20);
    let mut records = vec![record_at(URL, now), record_at(URL, hours_ago(3)), json!("not a record")];
    records.extend((0..1_000).map(|second| record_at(URL, Micros(old.0 + second * 1_000_000))));
    let summary = run(&flush, batch(0, &records)).await.unwrap();
    assert_eq!((summary.stored, summary.rejected), (1_002, 1));
    assert_eq!(run(&flush, batch(0, &records)).await.unwrap().duplicates, 1_002);
    let partition =
        format!("select count(*) from pg_class where relname = 'probes_{}'", old.timestamp().strftime("%Y%m%d"));
    assert_eq!(place.count(&partition).await, 1);
    seal_all(&forgetful, |_| {}).await.unwrap();

    assert_eq!(place.count(&partition).await, 0, "a sealed partition that is old is dropped");
    assert_eq!(place.count("select sum(probes)::bigint from chunks").await, 1_001);
    assert_eq!(
        place.count("select count(*) from pg_class where pg_get_userbyid(relowner) = 'granting_writer'").await,
        0
    );
    let (client, connection) = tokio_postgres::connect(&writer, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    for forbidden in [
        "drop table probes",
        "delete from rejects",
        "delete from targets",
        "update probes set outcome = 0",
        "alter table probes add column more text",
        "create table more (id integer)",
        "insert into website_monitor_migrations (version) values (99)",
    ] {
        let error = client.batch_execute(forbidden).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{forbidden}: {error}");
    }
}

#[tokio::test]
async fn the_reader_answers_and_changes_nothing() {
    let place = Place::new("granting_reader").await;
    run(&place.flush(), batch(0, &[record_at(URL, hours_ago(2))])).await.unwrap();
    let reader = user(&place, "granting_reader", "website_monitor_reader").await;
    let variables = vec![("WM_DB_CONNECTION_STRING", reader.clone()), ("WM_STATS_PUBLIC", "true".to_owned())];
    let stats = Stats::new(StatsConfig::from_env(&lookup(variables)).unwrap());

    let report = stats::run(&stats, &StatsQuery::default(), timestamp::now()).await.unwrap();

    assert_eq!(report.stats[0].figures.probes, 1);
    let (client, connection) = tokio_postgres::connect(&reader, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    for forbidden in [
        "delete from chunks",
        "select * from rejects",
        "select website_monitor_make_partition('2020-01-01')",
        "select website_monitor_drop_partition('2020-01-01')",
    ] {
        let error = client.batch_execute(forbidden).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{forbidden}: {error}");
    }
}

#[tokio::test]
async fn a_day_of_another_era_has_no_partition() {
    let place = Place::new("granting_era").await;
    let writer = user(&place, "granting_era", "website_monitor_writer").await;
    run(&place.flush(), batch(0, &[record_at(URL, timestamp::now().into())])).await.unwrap();
    let today = timestamp::now().strftime("%Y-%m-%d").to_string();
    let (client, connection) = tokio_postgres::connect(&writer, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);

    // It would have the same name.
    for function in ["website_monitor_drop_partition", "website_monitor_make_partition"] {
        let error = client.batch_execute(&format!("select {function}('{today} BC')")).await.unwrap_err();
        assert!(error.as_db_error().unwrap().message().contains("there are no partitions of"), "{error}");
    }
    assert_eq!(place.count("select count(*) from probes").await, 1);
}

#[tokio::test]
async fn whoever_may_not_change_an_old_schema_says_who_has_to() {
    let place = Place::new("granting_nobody").await;
    let nobody = user(&place, "granting_nobody", "").await;

    let error = run(&flush(&nobody, "8d"), batch(0, &[record_at(URL, hours_ago(1))])).await.unwrap_err().to_string();

    assert!(error.contains("has version 0 and this release needs 8"), "{error}");
    assert!(error.contains("permission denied") && error.contains("cargo migrate"), "{error}");
    let migrate = |connection_string: &str| {
        example("migrate").env("WM_DB_CONNECTION_STRING", connection_string).output().unwrap()
    };
    assert!(!migrate(&nobody).status.success());
    let migrated = migrate(&place.connection_string);
    assert_eq!(String::from_utf8_lossy(&migrated.stdout), "the schema has version 8\n");
}

#[tokio::test]
async fn partitions_are_made_with_the_rights_of_the_owner_and_by_functions_of_postgres_alone() {
    let place = Place::new("granting_owner").await;
    let client = place.client().await;
    let owner = user(&place, "granting_owner", "").await;
    client
        .batch_execute("alter database granting_owner owner to granting_owner; alter role granting_owner createrole")
        .await
        .unwrap();
    let migrate = async |connection_string: &str| {
        let (mut client, connection) = tokio_postgres::connect(connection_string, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        migrations::run(&mut client).await.unwrap();
    };
    migrate(&owner).await;
    // The migration that makes them once more, by a superuser this time, in a database whose time and dates are not as usual.
    client
        .batch_execute(
            "delete from website_monitor_migrations where version >= 6;
             alter table rejects drop column timestamp_ms, drop column more;
             drop function website_monitor_make_partition(date), website_monitor_drop_partition(date);
             alter database granting_owner set datestyle to 'SQL, DMY';
             alter database granting_owner set timezone to 'Asia/Kolkata'",
        )
        .await
        .unwrap();
    migrate(&place.connection_string).await;
    let owners = "select count(*) from pg_proc join pg_roles on pg_roles.oid = proowner \
                  where proname like 'website_monitor_%' and rolname = 'granting_owner'";
    assert_eq!(place.count(owners).await, 2);

    // What somebody else put up is not called, though it fits better than what Postgres has.
    for overload in ["to_char(date, text)", "format(text, text)", "format(text, timestamptz, timestamptz, text)"] {
        let make = format!(
            "create function public.{overload} returns text language plpgsql as $$ begin raise 'trapped'; end $$"
        );
        client.batch_execute(&make).await.unwrap();
    }
    let writer = user(&place, "granting_other", "website_monitor_writer").await;
    run(&flush(&writer, "8d"), batch(0, &[record_at(URL, timestamp::now().into())])).await.unwrap();

    let today = timestamp::now().strftime("%Y%m%d").to_string();
    let owned = format!(
        "select count(*) from pg_class where relname = 'probes_{today}' \
         and pg_get_userbyid(relowner) = 'granting_owner'"
    );
    assert_eq!(place.count(&owned).await, 1);
    let rows = format!("select count(*) from probes_{today}");
    assert_eq!(place.count(&rows).await, 1);
}
