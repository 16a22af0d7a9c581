CREATE TABLE site (key text PRIMARY KEY, value text NOT NULL);

CREATE TABLE networks (netname text PRIMARY KEY, mgtifname text NOT NULL);

CREATE TABLE policy (priority text PRIMARY KEY, name text NOT NULL, rule text NOT NULL);

INSERT INTO site VALUES ('domain', 'cluster.com'), ('master', '10.5.106.7');

INSERT INTO networks VALUES ('10_0_0_0-255_0_0_0', 'eth0');

INSERT INTO policy VALUES ('1', 'root', 'allow'), ('1.2', 'xcatmn1', 'trusted');

CREATE TABLE written (n bigint PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());

GRANT ALL ON site, networks, policy, written TO xcatadm;

