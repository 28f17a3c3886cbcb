-- Who users are at OpenID Connect providers. label is what the user sees of it, as an email address. A row goes with the account.
CREATE TABLE sso_links (
  issuer TEXT NOT NULL,
  subject TEXT NOT NULL,
  user_nid INTEGER NOT NULL,
  label TEXT NOT NULL,
  linked_ts INTEGER NOT NULL,
  PRIMARY KEY (issuer, subject)
) WITHOUT ROWID;
CREATE INDEX sso_links_user ON sso_links (user_nid);
