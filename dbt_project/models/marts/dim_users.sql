with

users as (

    select * from {{ ref('int_consenting_users') }}

)

select
    user_id,
    audience,
    age_band,
    region,
    device,
    registered_on,
    segment_id

from users
