-- When, from where and by what a browser was last seen in which somebody is signed in to the server's own pages, as of devices.
ALTER TABLE browser_sessions ADD COLUMN seen_ts INTEGER;
ALTER TABLE browser_sessions ADD COLUMN seen_ip TEXT;
ALTER TABLE browser_sessions ADD COLUMN seen_agent TEXT;
