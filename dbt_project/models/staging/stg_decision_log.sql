with

source as (

    select * from {{ landing('decision_log') }}

),

renamed as (

    select
        ---------- ids
        decision_id,
        user_id,
        creative_id,

        ---------- when and where
        decided_at,
        {{ utc_day('decided_at') }} as event_day,
        placement,
        position,

        ---------- how it was chosen
        policy_version,
        propensity,
        profile_version,
        candidates,
        probabilities,

        ---------- features as served
        context,
        exposures,
        landed_at

    from source

)

select * from renamed
