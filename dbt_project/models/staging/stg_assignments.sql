with

source as (

    select * from {{ landing('assignments') }}

),

renamed as (

    select
        ---------- ids
        assignment_id,
        experiment_id,
        user_id,

        ---------- what was drawn
        arm,

        ---------- when
        assigned_at,
        {{ utc_day('assigned_at') }} as assigned_on,
        landed_at

    from source

)

select * from renamed
