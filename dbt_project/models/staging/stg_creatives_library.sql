with

source as (

    select * from {{ landing('creatives_library') }}

),

renamed as (

    select
        ---------- ids
        creative_id,
        campaign_id,

        ---------- copy
        headline,
        tone,
        appeal,

        ---------- when
        landed_at

    from source

)

select * from renamed
