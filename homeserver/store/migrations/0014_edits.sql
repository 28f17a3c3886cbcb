-- The replacements that may count: the newest of an event by its sender is found without reading the others.
CREATE INDEX relations_edits ON relations (parent_nid, sender_nid, type_nid, origin_server_ts) WHERE rel_type = 'm.replace' AND fit = 1;
