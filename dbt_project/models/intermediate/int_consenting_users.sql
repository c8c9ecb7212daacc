with

users as (

    select * from {{ ref('stg_users') }}

),

consenting as (

    select
        user_id,
        registered_on,
        audience,
        age_band,
        region,
        device,
        case when age_band is null then audience else audience || '|' || age_band end as segment_id

    from users
    where consent

)

select * from consenting
