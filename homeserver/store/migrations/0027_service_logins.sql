-- The application service that logged a device in, NULL for none: its session lasts as long as the service may act for the user. It is not
-- known of devices that were logged in before this was kept.
ALTER TABLE devices ADD COLUMN appservice TEXT;
