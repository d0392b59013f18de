-- Two roles: `order_sync_owner` migrates (order-sync db upgrade), and `order_sync` runs everything else.
-- Run it as a superuser in the new database; then set both passwords with \password.
CREATE ROLE order_sync_owner LOGIN;
CREATE ROLE order_sync LOGIN;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO order_sync_owner;
GRANT USAGE ON SCHEMA public TO order_sync;
ALTER DEFAULT PRIVILEGES FOR ROLE order_sync_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO order_sync;
ALTER DEFAULT PRIVILEGES FOR ROLE order_sync_owner IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO order_sync;
