PRAGMA journal_mode = WAL;
CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, town INTEGER, note BLOB);
CREATE TABLE town (id INTEGER PRIMARY KEY, name TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
INSERT INTO town SELECT i, 'town ' || i FROM n;
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
INSERT INTO person SELECT i, 'name ' || (i * 7919 % 100003), i * 31 % 500 + 1, zeroblob(i % 300) FROM n;
COMMIT;
CREATE INDEX person_by_name ON person (name);
CREATE INDEX person_by_town ON person (town, id);
SELECT town.name, count(*), min(person.name), sum(length(note)) FROM person JOIN town ON town.id = person.town
 GROUP BY town.id ORDER BY 2 DESC, 1 LIMIT 10;
SELECT count(*) FROM person a JOIN person b ON a.town = b.town AND a.id < b.id WHERE a.id < 400;
UPDATE person SET note = hex(name) WHERE id % 7 = 0;
DELETE FROM person WHERE id % 11 = 0;
SELECT group_concat(name, ',') FROM (SELECT name FROM person ORDER BY name LIMIT 50 OFFSET 5000);
SELECT sum(length(note)), count(DISTINCT town) FROM person;
VACUUM;
PRAGMA integrity_check;
