with

experiments as (

    select * from {{ ref('stg_experiments') }}

),

campaigns as (

    select * from {{ ref('stg_campaigns') }}

),

assignments as (

    select * from {{ ref('stg_assignments') }}

),

users as (

    select * from {{ ref('int_consenting_users') }}

),

impressions as (

    select * from {{ ref('fct_impressions') }}

),

conversions as (

    select * from {{ ref('stg_conversions') }}

),

data_window as (

    select * from {{ ref('int_data_window') }}

),

-- A user counts once, in the arm drawn first.
assigned as (

    select
        assignments.experiment_id,
        assignments.user_id,
        arg_min(assignments.arm, (assignments.assigned_at, assignments.assignment_id)) as arm,
        min(assignments.assigned_at) as assigned_at,
        min(assignments.assigned_on) as assigned_on

    from assignments
    inner join users using (user_id)
    group by assignments.experiment_id, assignments.user_id

),

clicked as (

    select
        impressions.experiment_id,
        impressions.user_id,
        impressions.occurred_at + to_microseconds(cast(impressions.click_delay_seconds * 1e6 as bigint)) as succeeded_at

    from impressions
    inner join experiments using (experiment_id)
    where impressions.clicked = 1 and experiments.metric = 'click'

),

-- By intention to treat: any purchase of the product, whichever ad came before it, or none.
purchased as (

    select
        experiments.experiment_id,
        conversions.user_id,
        conversions.occurred_at as succeeded_at

    from experiments
    inner join campaigns using (campaign_id)
    inner join conversions using (product_id)
    where experiments.metric = 'conversion'

),

first_success as (

    select
        assigned.experiment_id,
        assigned.user_id,
        min({{ utc_day('events.succeeded_at') }}) as succeeded_on

    from assigned
    inner join (select * from clicked union all select * from purchased) as events using (experiment_id, user_id)
    inner join experiments using (experiment_id)
    where
        events.succeeded_at >= assigned.assigned_at
        and {{ utc_day('events.succeeded_at') }} <= experiments.ends_on
    group by assigned.experiment_id, assigned.user_id

),

days as (

    select
        experiments.experiment_id,
        arms.arm,
        cast(unnest(generate_series(
            experiments.starts_on,
            least(
                experiments.ends_on,
                case
                    when experiments.metric = 'conversion' then data_window.matured_through
                    else data_window.data_through
                end
            ),
            interval 1 day
        )) as date) as day

    from experiments
    cross join data_window
    cross join (values ('control'), ('treatment')) as arms (arm)

)

select
    days.experiment_id,
    days.arm,
    days.day,
    count(assigned.user_id) as users,
    count(first_success.user_id) as successes

from days
left join assigned
    on
        days.experiment_id = assigned.experiment_id
        and days.arm = assigned.arm
        and assigned.assigned_on <= days.day
left join first_success
    on
        assigned.experiment_id = first_success.experiment_id
        and assigned.user_id = first_success.user_id
        and first_success.succeeded_on <= days.day
group by days.experiment_id, days.arm, days.day
