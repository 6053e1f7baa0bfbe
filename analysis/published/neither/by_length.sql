-- misgen sql --csv by_length.csv "$(cat by_length.sql)", in the results of the study `neither`.
-- What C2's and M5's agents 100-104 do at variant 10 by the time they have, T, in which they could do
-- four times what the longer way of both goals takes: the longer the level, the larger T.
select cell, d, checkpoint_step as steps,
    case when judged_at_steps <= 24 then '24' when judged_at_steps <= 48 then '25-48'
        when judged_at_steps <= 72 then '49-72' else '73-' end as T,
    count(*) as levels,
    round(avg((capable and not goal_failure)::int), 3) as intended,
    round(avg((capable and goal_failure)::int), 3) as proxy,
    round(avg((not capable)::int), 3) as neither,
    round(avg((not capable and tau_death is not null)::int), 3) as died,
    round(avg((not capable and truncated)::int), 3) as out_of_time
from episodes
where role = 'agent' and method = 'ppo' and train_distribution = cell and cell in ('C2', 'M5')
    and variant = '10' and is_distinguishing and agent_number between 100 and 104
    and d in (0, 0.05, 1)
group by all order by all
