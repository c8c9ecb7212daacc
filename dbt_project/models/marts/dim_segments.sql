with

users as (

    select * from {{ ref('int_consenting_users') }}

)

select
    segment_id,
    audience,
    age_band,
    count(*) as users

from users
where segment_id is not null
group by all
