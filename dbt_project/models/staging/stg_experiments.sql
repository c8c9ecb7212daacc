with

source as (

    select * from {{ landing('experiments') }}

),

renamed as (

    select
        ---------- ids
        experiment_id,
        campaign_id,
        control_creative_id,
        treatment_creative_id,

        ---------- design
        kind,
        metric,
        treatment_share,
        designed_users,

        ---------- when
        starts_on,
        ends_on,
        landed_at

    from source

)

select * from renamed
