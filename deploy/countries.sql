-- Reference rows of the shop; run on each shard.
INSERT INTO countries VALUES
  ('AT', 'Austria'), ('BE', 'Belgium'), ('CH', 'Switzerland'), ('CZ', 'Czechia'), ('DE', 'Germany'), ('DK', 'Denmark'),
  ('EE', 'Estonia'), ('ES', 'Spain'), ('FI', 'Finland'), ('FR', 'France'), ('GR', 'Greece'), ('IE', 'Ireland'), ('IT', 'Italy'),
  ('JP', 'Japan'), ('NL', 'Netherlands'), ('NO', 'Norway'), ('NZ', 'New Zealand'), ('PL', 'Poland'), ('PT', 'Portugal'),
  ('SE', 'Sweden');
