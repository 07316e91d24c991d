-- Tokens whose requests are approved without an operator looking. The row then creates trust by itself, so it carries a
-- MAC over everything but its use; an ordinary token needs none.

alter table join_token add column auto_approve boolean not null default false;
-- What the names of hosts joining by it must begin with.
alter table join_token add column name_prefix text not null default '';
alter table join_token add column mac bytea;
