with

source as (

    select * from {{ landing('impressions') }}

),

renamed as (

    select
        ---------- ids
        impression_id,
        user_id,
        campaign_id,
        creative_id,
        experiment_id,

        ---------- where it was shown
        placement,
        cast(position as integer) as position,

        ---------- how it was chosen
        policy_version,
        propensity,
        arm,

        ---------- money
        bid,
        price,

        ---------- when
        occurred_at,
        {{ utc_day('occurred_at') }} as event_day,
        landed_at

    from source

)

select * from renamed
