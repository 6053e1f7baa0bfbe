-- misgen sql --results analysis/published/cells --csv analysis/published/neither/reasons.csv \
--     "$(cat analysis/published/neither/reasons.sql)"
-- Where agents, of each arm the three whose episodes are published, reach neither goal on more than
-- .2 of the levels that tell the goals apart: how those episodes end. otherwise: in C1 by the coin
-- after another item had been touched first, elsewhere after T.
with last as (select run_id, max(checkpoint_step) as step from episodes group by run_id)
select cell, method, d, variant, count(*) as levels,
    round(avg((not capable)::int), 3) as neither,
    round(avg((not capable and tau_death is not null)::int), 3) as died,
    round(avg((not capable and tau_death is null and truncated)::int), 3) as out_of_time,
    round(avg((not capable and tau_death is null and not truncated)::int), 3) as otherwise
from episodes join last using (run_id)
where role = 'agent' and train_distribution = cell and is_distinguishing and variant in ('10', '11')
    and checkpoint_step = step
group by all having neither > .2 order by all
