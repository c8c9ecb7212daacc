with

landed_days as (

    select * from {{ ref('int_landed_days') }}

)

select
    min(day) filter (where landing_table = 'impressions') as first_day,
    max(day) filter (where landing_table = 'impressions') as data_through,
    max(day) filter (where landing_table = 'impressions') - {{ attribution_days() }} as matured_through,
    min(day) filter (where landing_table = 'conversions') as first_conversion_day,
    count(*) filter (where landing_table = 'conversions') > 0 as has_conversions

from landed_days
