/* Empty on purpose. The bundled librdkafka includes this header even when it is built without OIDC, and then uses
 * nothing of it. Found through CPATH, which .cargo/config.toml sets. */
